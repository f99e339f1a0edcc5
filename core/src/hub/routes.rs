//! Which request is whose: path and method to a route.

use crate::dialect::beacon::coordinator::Route as BeaconRoute;
use crate::dialect::volt::server::Control;
use crate::net::Method;
use crate::net::http::{NoRoute, only, segments};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Public(Public),
    /// The hub's own status.
    Status,
    /// What is measured of it.
    Metrics,
    /// What the operator's page shows, as it changes.
    Events,
    Beacon(BeaconRoute),
    Volt(Control),
}

/// What a secured hub answers without a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Public {
    Login,
    CheckSession,
    Logout,
    Status,
}

impl Route {
    /// Finds the route of a request.
    pub(super) fn find(method: Method, url: &str) -> Result<Self, NoRoute> {
        let decoded = segments(url);
        let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let get = |route| only(method, Method::Get, route);
        match segments.as_slice() {
            ["status"] => get(Self::Public(Public::Status)),
            ["Moorline", "Status"] => get(Self::Status),
            ["metrics"] => get(Self::Metrics),
            ["Moorline", "Events"] => get(Self::Events),
            ["Moorline", "Volt", rest @ ..] => Control::find(method, rest).map(Self::Volt),
            ["1.0", "Authenticate"] => only(method, Method::Post, Self::Public(Public::Login)),
            ["1.0", "CheckSession"] => get(Self::Public(Public::CheckSession)),
            ["1.0", "Deauthenticate"] => match method {
                Method::Get | Method::Post => Ok(Self::Public(Public::Logout)),
                Method::Put | Method::Delete | Method::Other => Err(NoRoute::Method("GET, POST")),
            },
            ["Beacon", rest @ ..] => BeaconRoute::find(method, rest).map(Self::Beacon),
            _ => Err(NoRoute::Unknown),
        }
    }

    /// Tells whether whoever answers it says itself that a body is not JSON.
    pub(super) const fn checks_body(&self) -> bool {
        matches!(self, Self::Beacon(route) if route.checks_body())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_paths_and_wrong_methods_differ() {
        assert_eq!(Route::find(Method::Get, "/"), Err(NoRoute::Unknown));
        assert_eq!(Route::find(Method::Get, "/status?x=1"), Ok(Route::Public(Public::Status)));
        assert_eq!(Route::find(Method::Put, "/status"), Err(NoRoute::Method("GET")));
    }
}
