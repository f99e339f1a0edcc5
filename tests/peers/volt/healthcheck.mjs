// The healthcheck route: a daemon enrolls with a token that is good for once.

/** Answers a request to `/api/team-clusters/ID/healthcheck`, or anything else with 404. */
export async function healthcheck(options, clusters, request, response, record) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  const { status, headers = {}, answer } = decide(options, clusters, request, body);
  record('enroll', { method: request.method, target: request.url, body: tolerant(body), status });
  const text = typeof answer === 'string' ? answer : JSON.stringify(answer);
  const type = typeof answer === 'string' ? 'text/html' : 'application/json; charset=utf-8';
  response.writeHead(status, { 'content-type': type, ...headers }).end(text);
}

function decide(options, clusters, request, body) {
  const id = /^\/api\/team-clusters\/([^/]+)\/healthcheck$/.exec(request.url)?.[1];
  if (id === undefined || request.method !== 'POST') return refusal(404, undefined, 'Not Found');
  if (options.enrollmentAnswer) return options.enrollmentAnswer;
  const asked = tolerant(body);
  const token = asked?.enrollmentToken;
  const version = asked?.installedVersion;
  const known = ['enrollmentToken', 'installedVersion'];
  if (typeof token !== 'string' || token.trim() === '') {
    return refusal(400, 'Validation::InvalidInput', 'body.enrollmentToken: Invalid input');
  }
  if (Object.keys(asked).some((key) => !known.includes(key))) {
    return refusal(400, 'Validation::InvalidInput', 'body: Unrecognized key');
  }
  if (version !== undefined) {
    const length = typeof version === 'string' ? version.trim().length : 0;
    if (length < 1 || length > 64) {
      return refusal(400, 'Validation::InvalidInput', 'body.installedVersion: Invalid input');
    }
  }
  const cluster = clusters.get(decodeURIComponent(id));
  if (!cluster) return refusal(404, 'TeamCluster::NotFound', 'Team cluster not found');
  if (cluster.token === null) {
    const text = 'Team cluster enrollment has already been completed';
    return refusal(409, 'TeamCluster::EnrollmentAlreadyCompleted', text);
  }
  if (cluster.token !== token) {
    return refusal(401, 'TeamCluster::EnrollmentInvalid', 'Invalid enrollment credentials');
  }
  cluster.token = null;
  const teamCluster = { _id: id, name: 'lab', status: 'healthcheck-received' };
  const data = { teamCluster, daemonPassword: cluster.password };
  return { status: 200, answer: { status: 'success', data } };
}

function refusal(status, code, message) {
  return { status, answer: { status: 'error', code, message, statusCode: status } };
}

function tolerant(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
