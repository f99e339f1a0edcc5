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
    CancelKey,
    /// A worker has heard that it is to stop.
    CancelHeard(String),
    /// A worker has stopped.
    Cancelled(String),
    Reorder(String),
    /// What an item came to.
    Result(String),
    RunStart,
    RunEnd(String),
}

impl Route {
    /// Finds the route of a request, by the segments of its path below `/Beacon`.
    pub(crate) fn find(method: Method, segments: &[&str]) -> Result<Self, NoRoute> {
        let (allowed, route) = match segments {
            [] => (Method::Get, Self::View(View::Workers)),
            ["Register"] => (Method::Post, Self::Register),
            ["Affinity"] => (Method::Get, Self::View(View::Bindings)),
            ["Queue"] => (Method::Get, Self::View(View::Queue)),
            ["Capabilities"] => (Method::Get, Self::View(View::Capabilities)),
            ["Actions"] => (Method::Get, Self::View(View::Actions)),
            ["Run", "Start"] => (Method::Post, Self::RunStart),
            ["Run", id, "End"] => (Method::Post, Self::RunEnd((*id).to_owned())),
            ["Work", rest @ ..] => work(rest).ok_or(NoRoute::Unknown)?,
            [id] if method == Method::Get => (method, Self::View(View::Worker((*id).to_owned()))),
            [id] if method == Method::Delete => (method, Self::Farewell((*id).to_owned())),
            [_] => return Err(NoRoute::Method("GET, DELETE")),
            [id, "Heartbeat"] => (Method::Post, Self::Heartbeat((*id).to_owned())),
            [id, "Drain"] => (Method::Post, Self::Drain((*id).to_owned())),
            _ => return Err(NoRoute::Unknown),
        };
        http::only(method, allowed, route)
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
}

/// Finds a route below `/Beacon/Work`, with the method that it has.
fn work(segments: &[&str]) -> Option<(Method, Route)> {
    Some(match segments {
        [] => (Method::Get, Route::View(View::Items)),
        ["Poll"] => (Method::Post, Route::Poll),
        ["Enqueue"] => (Method::Post, Route::Enqueue),
        ["Dispatch"] => (Method::Post, Route::Dispatch),
        ["DispatchStream"] => (Method::Post, Route::DispatchStream),
        ["Cancel"] => (Method::Post, Route::CancelKey),
        ["Complete", "Batch"] => (Method::Post, Route::CompleteBatch),
        ["Progress", "Batch"] => (Method::Post, Route::ProgressBatch),
        // Peer: workers put hashes into the path unescaped, so a hash may hold slashes.
        [hash @ .., last] if !hash.is_empty() => {
            let hash = hash.join("/");
            match *last {
                "Progress" => (Method::Post, Route::Progress(hash)),
                "Complete" => (Method::Post, Route::Complete(hash)),
                "Error" => (Method::Post, Route::Error(hash)),
                "Cancel" => (Method::Post, Route::Cancel(hash)),
                "CancelAck" => (Method::Post, Route::CancelHeard(hash)),
                "Canceled" => (Method::Post, Route::Cancelled(hash)),
                "Reorder" => (Method::Post, Route::Reorder(hash)),
                "Result" => (Method::Get, Route::Result(hash)),
                _ => return None,
            }
        }
        _ => return None,
    })
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
