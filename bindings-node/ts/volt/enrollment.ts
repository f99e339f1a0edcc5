/** The enrollment alone. Clients enroll by themselves, through the core; see `ClusterDaemonClient`. */

import { DaemonClientError } from './errors.js';

/** What an enrollment gives. */
export interface Enrollment {
  /** The password to register with. */
  readonly daemonPassword: string;
  /** The cluster as the server knows it. */
  readonly teamCluster: object;
}

/** Redirects that are followed in a row. */
const MAX_REDIRECTS = 5;

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
      response = await post(this.url, JSON.stringify({ enrollmentToken: token, installedVersion: version }));
    } catch (thrown) {
      if (thrown instanceof DaemonClientError) throw thrown;
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

/** Follows redirects that keep the request, and none from an encrypted address to a plain one. */
async function post(url: string, body: string, hops = 0): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(url, { method: 'POST', headers, body, redirect: 'manual' });
  const location = response.headers.get('location');
  if (response.type === 'opaqueredirect') {
    throw DaemonClientError.enrollmentFailed(`${url} redirects: name the address that it leads to`);
  }
  if (location === null || (response.status !== 307 && response.status !== 308)) return response;
  const target = new URL(location, url).href;
  if (hops >= MAX_REDIRECTS) throw DaemonClientError.enrollmentFailed(`${url} redirects too often`);
  if (url.toLowerCase().startsWith('https:') && !target.startsWith('https:')) {
    throw DaemonClientError.enrollmentFailed(`HTTP ${response.status} leads from ${url} to ${target}, unencrypted`);
  }
  return post(target, body, hops + 1);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
