//! Enrollment: a one-time token becomes a password, once.
//!
//! With a store the password is committed before it is used, and found there the next time: a daemon
//! that is restarted with its used token registers all the same.

use serde_json::value::RawValue;

use super::VoltDaemon;
use super::connect::Stage;
use crate::api::event::SessionEvent;
use crate::api::options::ConfigError;
use crate::base::error::{Error, ErrorCode};
use crate::base::ids::{HttpId, StoreId};
use crate::base::secret::Secret;
use crate::base::store::{StoreReply, StoreRequest, Write};
use crate::base::time::Why;
use crate::dialect::volt::options::{DaemonOptions, OnAlreadyEnrolled};
use crate::dialect::volt::wire;
use crate::machine::Output;
use crate::net::origin::{self, Origin};
use crate::net::{Headers, HttpRequest, HttpResponse, Method};

/// Where passwords are kept, by cluster id.
const SPACE: &str = "volt_password";

/// A stored password; recordings know its field for a secret.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    daemon_password: String,
}

/// What is written to try the store.
const PROBE: &[u8] = b"{}";

/// How long the store may take.
pub(super) const STORE_MS: u64 = 30_000;

/// The most redirects followed.
const MAX_REDIRECTS: u64 = 5;

/// The longest time for which a busy control plane is left alone.
const MAX_RETRY_AFTER_MS: u64 = 3_600_000;

/// The largest answer.
const MAX_ANSWER: usize = 1_048_576;

/// What the daemon has to do before it registers.
#[derive(Debug, Default)]
pub(super) struct Enrollment {
    /// Where to, if there is something to do.
    url: Option<String>,
    takes_password: bool,
    /// How many were sent, and how many redirects in a row were followed.
    requests: u64,
    redirects: u64,
}

impl Enrollment {
    /// Plans the enrollment that the options ask for.
    pub(super) fn plan(options: &DaemonOptions, problems: &mut ConfigError) -> Self {
        let enrollment = &options.enrollment;
        if options.enrollment_token.is_empty() || !enrollment.enabled {
            return Self::default();
        }
        let is_derived = enrollment.url.is_empty();
        let (field, url) = if is_derived {
            let server = options.server_url.trim_end_matches('/');
            let path =
                origin::path(&["api", "team-clusters", &options.team_cluster_id, "healthcheck"]);
            ("server_url", format!("{server}{path}"))
        } else {
            ("enrollment.url", enrollment.url.clone())
        };
        if let Err(problem) = Origin::parse(&url) {
            let why = if is_derived { "is needed to enroll, and " } else { "" };
            problems.add(field, format!("{why}{problem}"));
        }
        let policy = enrollment.on_already_enrolled;
        let takes_password = policy == OnAlreadyEnrolled::UsePassword
            || (policy == OnAlreadyEnrolled::Auto && is_derived);
        Self { url: Some(url), takes_password, requests: 0, redirects: 0 }
    }
}

impl VoltDaemon {
    /// Looks for a password of an earlier enrollment.
    pub(super) fn recall(&mut self) {
        if self.options.runtime.store_path.is_empty() {
            return self.enroll();
        }
        self.ask_store(Stage::Recalling, StoreRequest::Load { space: SPACE });
    }

    fn ask_store(&mut self, stage: Stage, request: StoreRequest) {
        self.link.enter(stage, Some((STORE_MS, Why::Store)), self.clock);
        self.last_store += 1;
        let store = StoreId(self.last_store);
        self.engine.out.push_back(Output::Store { store, request });
    }

    pub(super) fn stored(&mut self, result: Result<StoreReply, Error>) {
        match (self.link.stage(), result) {
            (Stage::Recalling, Ok(StoreReply::Loaded(records))) => {
                let mut records = records.into_iter();
                let found = records.find(|(cluster, _)| *cluster == self.options.team_cluster_id);
                let found = found.filter(|(_, value)| *value != PROBE);
                match found.map(|(_, value)| serde_json::from_slice(&value)) {
                    // The token may be spent: it is not tried beside a password that is there.
                    Some(Err(_)) => {
                        let text = "the password's record in the store cannot be read";
                        self.end(Some(Error::new(ErrorCode::StoreFailed, text)));
                    }
                    Some(Ok(Stored { daemon_password })) => {
                        self.password = Secret::new(daemon_password);
                        self.enrolled();
                    }
                    // A token is good once: a store that keeps nothing is found out before.
                    None if self.enrollment.url.is_some() => {
                        self.write_record(Stage::Probing, PROBE.to_vec());
                    }
                    None => self.open(),
                }
            }
            (Stage::Probing, Ok(StoreReply::Committed)) => self.enroll(),
            (Stage::Keeping, Ok(StoreReply::Committed)) => self.enrolled(),
            (Stage::Recalling | Stage::Probing, Err(error)) => self.end(Some(error)),
            // The token is spent, and nobody gives the password out again: the application has it.
            (Stage::Keeping, Err(error)) => {
                let why = error.message();
                let message = format!("the password is not stored, keep it otherwise: {why}");
                self.notice(ErrorCode::StoreFailed, message);
                self.enrolled();
            }
            _ => {}
        }
    }

    /// Enrolls, if that is still to be done, before it connects.
    pub(super) fn enroll(&mut self) {
        let Some(url) = self.enrollment.url.clone() else { return self.open() };
        self.enrollment.requests += 1;
        // Ids of the transport are even.
        let http = HttpId(2 * self.enrollment.requests + 1);
        let token = self.options.enrollment_token.expose();
        let body = wire::enrollment(token, &self.options.installed_version);
        let headers = Headers::new().with("content-type", "application/json");
        let request = HttpRequest { method: Method::Post, url, headers, body: body.into() };
        let timeout_ms = self.options.enrollment.timeout_ms;
        self.link.enter(Stage::Enrolling(http), None, self.clock);
        let call =
            Output::HttpCall { http, request, timeout_ms, max_body: MAX_ANSWER, streams: false };
        self.engine.out.push_back(call);
    }

    /// An HTTP exchange ended: the enrollment's, or one of the transport.
    pub(super) fn replied(&mut self, http: HttpId, result: Result<HttpResponse, Error>) {
        if self.link.stage() != Stage::Enrolling(http) {
            return self.engine.replied(http, result, self.clock);
        }
        let url = self.enrollment.url.clone().unwrap_or_default();
        let may_use_password = self.enrollment.takes_password && !self.password.is_empty();
        let status = result.as_ref().ok().map(|response| response.status);
        let may_pass = match &result {
            Ok(response) => response.status == 429 || response.status >= 500,
            Err(error) => !matches!(error.code(), ErrorCode::TlsFailed | ErrorCode::TooLarge),
        };
        let retry_after = result.as_ref().ok().and_then(retry_after_ms);
        let (problem, cause) = match result {
            Err(error) => {
                let why = error.message();
                let problem = format!("the enrollment endpoint {url} could not be reached: {why}");
                (problem, Some(error))
            }
            Ok(response) if matches!(response.status, 307 | 308) => {
                return self.redirected(&url, &response);
            }
            Ok(response) => match read_answer(&response) {
                Ok(password) => return self.keep(Secret::new(password)),
                Err(_) if response.status == 409 && may_use_password => {
                    self.enrollment.url = None;
                    return self.open();
                }
                Err(problem) => (problem, None),
            },
        };
        let error = Error::new(ErrorCode::EnrollmentFailed, problem)
            .with_status(status.filter(|status| *status >= 300));
        let error = match cause {
            Some(cause) => error.with_cause(cause),
            None => error,
        };
        let retries = may_pass && self.options.enrollment.retry;
        let Some(delay) = retries.then(|| self.next_delay()).flatten() else {
            return self.end(Some(error));
        };
        self.complain(error);
        self.enrollment.redirects = 0;
        self.wait(delay.max(retry_after.unwrap_or(0)));
    }

    /// Follows a redirect that keeps the request; never from an encrypted address to a plain one.
    fn redirected(&mut self, url: &str, response: &HttpResponse) {
        let status = response.status;
        let location = response.headers.first("location").unwrap_or_default();
        let target = if location.starts_with('/') && !location.starts_with("//") {
            Origin::parse(url).map(|origin| format!("{}{location}", origin.http()))
        } else {
            Origin::parse(location).map(|_| location.to_owned())
        };
        let problem = match target {
            Ok(_) if self.enrollment.redirects >= MAX_REDIRECTS => {
                format!("the enrollment was redirected more than {MAX_REDIRECTS} times")
            }
            Ok(target) if url.starts_with("https:") && !target.starts_with("https:") => {
                format!("HTTP {status} leads from {url} to {target}, unencrypted")
            }
            Ok(target) => {
                self.enrollment.url = Some(target);
                self.enrollment.redirects += 1;
                return self.enroll();
            }
            Err(problem) => {
                format!("HTTP {status} with the location {location:?}: it {problem}")
            }
        };
        self.end(Some(Error::new(ErrorCode::EnrollmentFailed, problem)));
    }

    /// Stores the password, where there is a store, before anything is done with it.
    fn keep(&mut self, password: Secret) {
        self.password = password;
        if self.options.runtime.store_path.is_empty() {
            return self.enrolled();
        }
        let stored = Stored { daemon_password: self.password.expose().to_owned() };
        self.write_record(Stage::Keeping, serde_json::to_vec(&stored).unwrap_or_default());
    }

    fn write_record(&mut self, stage: Stage, value: Vec<u8>) {
        let key = self.options.team_cluster_id.clone();
        let writes = vec![Write::Put { space: SPACE, key, value: value.into() }];
        self.ask_store(stage, StoreRequest::Commit { writes });
    }

    fn enrolled(&mut self) {
        self.enrollment.url = None;
        self.event(SessionEvent::Enrolled { password: self.password.clone() });
        self.open();
    }
}

/// Returns after how many milliseconds a busy control plane wants to be asked again.
fn retry_after_ms(response: &HttpResponse) -> Option<u64> {
    let seconds: u64 = response.headers.first("retry-after")?.trim().parse().ok()?;
    Some(seconds.saturating_mul(1_000).min(MAX_RETRY_AFTER_MS))
}

/// Returns the password of an answer, or what is wrong with it.
fn read_answer(response: &HttpResponse) -> Result<String, String> {
    #[derive(Default, serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        data: Option<&'a RawValue>,
        code: Option<String>,
        message: Option<String>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data<'a> {
        #[serde(borrow)]
        daemon_password: Option<&'a RawValue>,
        #[serde(borrow)]
        team_cluster: Option<&'a RawValue>,
    }
    let status = response.status;
    let text = std::str::from_utf8(response.bytes()).ok();
    let Some(text) = text.filter(|text| serde_json::from_str::<&RawValue>(text).is_ok()) else {
        return Err(format!("the enrollment's answer is not JSON (HTTP {status})"));
    };
    let body: Body<'_> = serde_json::from_str(text).unwrap_or_default();
    if !(200..300).contains(&status) {
        let said = [body.code, body.message].into_iter().flatten().filter(|text| !text.is_empty());
        let said: String = said.map(|text| format!(": {text}")).collect();
        return Err(format!("the enrollment was refused with HTTP {status}{said}"));
    }
    let Some(data) = body.data.filter(|data| data.get().starts_with('{')) else {
        return Err(String::from("the enrollment's answer has no object data"));
    };
    let fields: Result<Data<'_>, _> = serde_json::from_str(data.get());
    let password = fields.ok().and_then(|fields| {
        fields.team_cluster.filter(|value| value.get().starts_with(['{', '[']))?;
        serde_json::from_str(fields.daemon_password?.get()).ok()
    });
    password.ok_or_else(|| {
        String::from("the enrollment's answer lacks data.daemonPassword or data.teamCluster")
    })
}
