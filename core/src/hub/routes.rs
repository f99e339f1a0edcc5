//! Which request means what: path and method to a route.

use crate::dialect::volt::server::Control;
use crate::net::Method;
use crate::net::http::{NoRoute, segments};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Public(Public),
    View(View),
    Register,
    Poll,
    Heartbeat(String),
    Farewell(String),
    Drain(String),
    Enqueue,
    Dispatch,
    DispatchStream,
    CompleteBatch,
    ProgressBatch,
    Progress(String),
    Complete(String),
    Error(String),
    Cancel(String),
    Reorder(String),
    RunStart,
    RunEnd(String),
    Volt(Control),
}

impl Route {
    /// Tells whether whoever answers it says itself that a body is not JSON.
    pub(super) const fn checks_body(&self) -> bool {
        matches!(self, Self::Enqueue | Self::Dispatch | Self::DispatchStream | Self::Register)
    }
}

/// What a secured hub answers without a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Public {
    Login,
    CheckSession,
    Logout,
    Status,
}

/// What only looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum View {
    MoorlineStatus,
    Workers,
    Worker(String),
    Items,
    Queue,
    Bindings,
    Capabilities,
    Actions,
    Result(String),
}

/// Finds the route of a request.
pub(super) fn find(method: Method, url: &str) -> Result<Route, NoRoute> {
    let decoded = segments(url);
    let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["status"] => get(method, Route::Public(Public::Status)),
        ["Moorline", "Status"] => get(method, Route::View(View::MoorlineStatus)),
        ["Moorline", "Volt", rest @ ..] => Control::find(method, rest).map(Route::Volt),
        ["1.0", "Authenticate"] => post(method, Route::Public(Public::Login)),
        ["1.0", "CheckSession"] => get(method, Route::Public(Public::CheckSession)),
        ["1.0", "Deauthenticate"] => either(method, Route::Public(Public::Logout)),
        ["Beacon", rest @ ..] => beacon(method, rest),
        _ => Err(NoRoute::Unknown),
    }
}

fn beacon(method: Method, segments: &[&str]) -> Result<Route, NoRoute> {
    match segments {
        [] => get(method, Route::View(View::Workers)),
        ["Register"] => post(method, Route::Register),
        ["Affinity"] => get(method, Route::View(View::Bindings)),
        ["Queue"] => get(method, Route::View(View::Queue)),
        ["Capabilities"] => get(method, Route::View(View::Capabilities)),
        ["Actions"] => get(method, Route::View(View::Actions)),
        ["Run", "Start"] => post(method, Route::RunStart),
        ["Run", id, "End"] => post(method, Route::RunEnd((*id).to_owned())),
        ["Work", rest @ ..] => work(method, rest),
        [id] => match method {
            Method::Get => Ok(Route::View(View::Worker((*id).to_owned()))),
            Method::Delete => Ok(Route::Farewell((*id).to_owned())),
            Method::Post | Method::Put | Method::Other => Err(NoRoute::Method("GET, DELETE")),
        },
        [id, "Heartbeat"] => post(method, Route::Heartbeat((*id).to_owned())),
        [id, "Drain"] => post(method, Route::Drain((*id).to_owned())),
        _ => Err(NoRoute::Unknown),
    }
}

fn work(method: Method, segments: &[&str]) -> Result<Route, NoRoute> {
    match segments {
        [] => get(method, Route::View(View::Items)),
        ["Poll"] => post(method, Route::Poll),
        ["Enqueue"] => post(method, Route::Enqueue),
        ["Dispatch"] => post(method, Route::Dispatch),
        ["DispatchStream"] => post(method, Route::DispatchStream),
        ["Complete", "Batch"] => post(method, Route::CompleteBatch),
        ["Progress", "Batch"] => post(method, Route::ProgressBatch),
        // Peer: workers put hashes into the path unescaped, so a hash may hold slashes.
        [hash @ .., last] if !hash.is_empty() => {
            let hash = hash.join("/");
            match *last {
                "Progress" => post(method, Route::Progress(hash)),
                "Complete" => post(method, Route::Complete(hash)),
                "Error" => post(method, Route::Error(hash)),
                "Cancel" => post(method, Route::Cancel(hash)),
                "Reorder" => post(method, Route::Reorder(hash)),
                "Result" => get(method, Route::View(View::Result(hash))),
                _ => Err(NoRoute::Unknown),
            }
        }
        _ => Err(NoRoute::Unknown),
    }
}

fn get(method: Method, route: Route) -> Result<Route, NoRoute> {
    if method == Method::Get { Ok(route) } else { Err(NoRoute::Method("GET")) }
}

fn post(method: Method, route: Route) -> Result<Route, NoRoute> {
    if method == Method::Post { Ok(route) } else { Err(NoRoute::Method("POST")) }
}

fn either(method: Method, route: Route) -> Result<Route, NoRoute> {
    match method {
        Method::Get | Method::Post => Ok(route),
        Method::Put | Method::Delete | Method::Other => Err(NoRoute::Method("GET, POST")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_routes_win_over_ids() {
        assert_eq!(find(Method::Get, "/Beacon/Work"), Ok(Route::View(View::Items)));
        assert_eq!(
            find(Method::Get, "/Beacon/bcn-1?x=1"),
            Ok(Route::View(View::Worker("bcn-1".into())))
        );
        assert_eq!(find(Method::Post, "/Beacon/Work/Poll"), Ok(Route::Poll));
        assert_eq!(find(Method::Delete, "/Beacon/bcn-1"), Ok(Route::Farewell("bcn-1".into())));
    }

    #[test]
    fn hashes_come_escaped_and_unescaped() {
        let route = Ok(Route::Complete("wi-a/b c".into()));
        assert_eq!(find(Method::Post, "/Beacon/Work/wi-a%2Fb%20c/Complete"), route);
        assert_eq!(find(Method::Post, "/Beacon/Work/wi-a/b c/Complete"), route);
    }

    #[test]
    fn unknown_paths_and_wrong_methods_differ() {
        assert_eq!(find(Method::Get, "/"), Err(NoRoute::Unknown));
        assert_eq!(find(Method::Get, "/Beacon/Work/Poll"), Err(NoRoute::Method("POST")));
        assert_eq!(find(Method::Put, "/status"), Err(NoRoute::Method("GET")));
        assert_eq!(find(Method::Get, "/Beacon/a/b/c"), Err(NoRoute::Unknown));
    }
}
