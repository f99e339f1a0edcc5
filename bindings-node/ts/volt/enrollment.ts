/** The enrollment alone. Clients enroll by themselves, through the core; see `ClusterDaemonClient`. */

import { DaemonClientError } from './errors.js';

/** What an enrollment gives. */
export interface Enrollment {
  /** The password to register with. */
  readonly daemonPassword: string;
  /** The cluster as the server knows it. */
  readonly teamCluster: object;
}

/** Trades a one-time token for a password. */
export class EnrollmentClient {
  /** Where it enrolls. */
  readonly url: string;
  /** Whether the application wants it to. */
  readonly enabled: boolean;

  constructor({ url, enabled = true }: { readonly url: string; readonly enabled?: boolean | undefined }) {
    this.url = url;
    this.enabled = enabled;
  }

  /** Enrolls, through the `fetch` that is global at this moment; rejects with ENROLLMENT_FAILED. */
  async enroll(token: string, version?: string): Promise<Enrollment> {
    let response;
    try {
      response = await fetch(this.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ enrollmentToken: token, installedVersion: version }),
      });
    } catch (thrown) {
      throw DaemonClientError.enrollmentFailed(`The enrollment endpoint ${this.url} could not be reached`, thrown);
    }
    let body: unknown;
    try {
      body = await response.json();
    } catch (thrown) {
      const message = `The enrollment endpoint answered with something that is not JSON (HTTP ${response.status})`;
      throw DaemonClientError.enrollmentFailed(message, thrown);
    }
    if (!response.ok) {
      const { code, message } = (isObject(body) ? body : {}) as { code?: unknown; message?: unknown };
      const told = [code, message].filter((part) => typeof part === 'string' && part !== '').join(' ');
      const text = `The enrollment was refused with HTTP ${response.status}${told && `: ${told}`}`;
      throw new DaemonClientError('ENROLLMENT_FAILED', text, undefined, response.status);
    }
    const data = isObject(body) ? body['data'] : undefined;
    if (!isObject(data)) throw DaemonClientError.enrollmentFailed('The enrollment answer has no data');
    const { daemonPassword, teamCluster } = data;
    if (typeof daemonPassword !== 'string' || !isObject(teamCluster)) {
      throw DaemonClientError.enrollmentFailed('The enrollment answer lacks daemonPassword or teamCluster');
    }
    return { daemonPassword, teamCluster };
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
