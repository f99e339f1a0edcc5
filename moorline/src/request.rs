//! Requests of those who ask to be let in.

use std::fmt;

use serde::Deserialize;

/// A name and its value.
#[derive(Clone, Deserialize)]
#[non_exhaustive]
pub struct Pair {
    /// The name.
    pub name: String,
    /// The value; a parameter without `=` has none.
    pub value: Option<String>,
}

/// What someone asks to be let in with.
#[derive(Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query as sent.
    pub url: String,
    /// The path.
    pub path: String,
    /// The query, without its question mark.
    pub query: String,
    /// The address that it comes from, without the port.
    pub ip: String,
    /// The header fields; names are lower case.
    pub headers: Vec<Pair>,
    /// The cookies.
    pub cookies: Vec<Pair>,
    /// The parameters of the query, decoded, by name.
    pub parameters: Vec<Pair>,
}

impl fmt::Debug for Request {
    /// Shows no secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("path", &self.path)
            .field("ip", &self.ip)
            .finish_non_exhaustive()
    }
}
