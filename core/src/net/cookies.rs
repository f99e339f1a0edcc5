//! Cookies that servers set: all of them, as a load balancer needs them that keeps a session on one
//! server, or the first alone, where it is the session.

use crate::base::secret::Secret;
use crate::net::{Headers, HttpResponse};

/// The most cookies kept; further ones are not taken.
const MAX_COOKIES: usize = 16;
/// The longest cookie taken, in bytes.
const MAX_LENGTH: usize = 4_096;

/// Name and value of each cookie. Paths, domains and times are not looked at: all requests go to one
/// path of one host, and the session that they belong to is short.
#[derive(Debug, Default)]
pub(crate) struct Cookies(Vec<(String, Secret)>);

impl Cookies {
    /// Takes the cookies of an answer.
    pub(crate) fn take(&mut self, response: &HttpResponse) {
        for (name, value) in response.headers.iter() {
            if name != "set-cookie" || value.expose().len() > MAX_LENGTH {
                continue;
            }
            let Some((name, value)) = pair(value.expose()).split_once('=') else { continue };
            let known = self.0.iter_mut().find(|(known, _)| known == name);
            if let Some((_, kept)) = known {
                *kept = Secret::new(value);
            } else if self.0.len() < MAX_COOKIES {
                self.0.push((name.to_owned(), Secret::new(value)));
            }
        }
    }

    /// Returns the header fields of a request.
    pub(crate) fn headers(&self) -> Headers {
        if self.0.is_empty() {
            return Headers::new();
        }
        let pairs: Vec<_> =
            self.0.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect();
        Headers::new().with("cookie", pairs.join("; "))
    }
}

/// Returns the first cookie of an answer, with its name.
pub(crate) fn first(response: &HttpResponse) -> Option<Secret> {
    let cookie = pair(response.headers.first("set-cookie")?);
    (!cookie.is_empty()).then(|| Secret::new(cookie))
}

/// Cuts a `Set-Cookie` before its attributes.
fn pair(set_cookie: &str) -> &str {
    set_cookie.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_goes_back() {
        let mut cookies = Cookies::default();
        assert!(cookies.headers().is_empty());
        let mut response = HttpResponse::json(200, "");
        response.headers.push("set-cookie", "AWSALB=one; Path=/; HttpOnly");
        response.headers.push("set-cookie", "io=2");
        cookies.take(&response);
        let mut response = HttpResponse::json(200, "");
        response.headers.push("set-cookie", "AWSALB=two");
        response.headers.push("set-cookie", "broken");
        cookies.take(&response);
        assert_eq!(cookies.headers().first("cookie"), Some("AWSALB=two; io=2"));
    }

    #[test]
    fn the_first_cookie_counts_up_to_its_semicolon() {
        let mut response = HttpResponse::json(200, "{}");
        response.headers.push("set-cookie", "SessionID=1; Path=/; HttpOnly");
        response.headers.push("set-cookie", "Other=2");
        assert_eq!(first(&response).unwrap().expose(), "SessionID=1");
        assert!(first(&HttpResponse::json(200, "{}")).is_none());
    }
}
