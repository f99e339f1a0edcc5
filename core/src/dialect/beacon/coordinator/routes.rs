//! Which request means what: path and method to a route.

use crate::net::Method;
use crate::net::http::{self, NoRoute};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
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
}

impl Route {
    /// Finds the route of a request, by the segments of its path below `/Beacon`.
    pub(crate) fn find(method: Method, segments: &[&str]) -> Result<Self, NoRoute> {
        match segments {
            [] => get(method, Self::View(View::Workers)),
            ["Register"] => post(method, Self::Register),
            ["Affinity"] => get(method, Self::View(View::Bindings)),
            ["Queue"] => get(method, Self::View(View::Queue)),
            ["Capabilities"] => get(method, Self::View(View::Capabilities)),
            ["Actions"] => get(method, Self::View(View::Actions)),
            ["Run", "Start"] => post(method, Self::RunStart),
            ["Run", id, "End"] => post(method, Self::RunEnd((*id).to_owned())),
            ["Work", rest @ ..] => work(method, rest),
            [id] => match method {
                Method::Get => Ok(Self::View(View::Worker((*id).to_owned()))),
                Method::Delete => Ok(Self::Farewell((*id).to_owned())),
                Method::Post | Method::Put | Method::Other => Err(NoRoute::Method("GET, DELETE")),
            },
            [id, "Heartbeat"] => post(method, Self::Heartbeat((*id).to_owned())),
            [id, "Drain"] => post(method, Self::Drain((*id).to_owned())),
            _ => Err(NoRoute::Unknown),
        }
    }

    /// Tells whether whoever answers it says itself that a body is not JSON.
    pub(crate) const fn checks_body(&self) -> bool {
        matches!(self, Self::Enqueue | Self::Dispatch | Self::DispatchStream | Self::Register)
    }
}

/// What only looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Workers,
    Worker(String),
    Items,
    Queue,
    Bindings,
    Capabilities,
    Actions,
    Result(String),
}

fn get(method: Method, route: Route) -> Result<Route, NoRoute> {
    http::only(method, Method::Get, route)
}

fn post(method: Method, route: Route) -> Result<Route, NoRoute> {
    http::only(method, Method::Post, route)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: Method, url: &str) -> Result<Route, NoRoute> {
        let decoded = http::segments(url);
        let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
        Route::find(method, &segments[1..])
    }

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
        assert_eq!(find(Method::Get, "/Beacon/Work/Poll"), Err(NoRoute::Method("POST")));
        assert_eq!(find(Method::Get, "/Beacon/a/b/c"), Err(NoRoute::Unknown));
    }
}
