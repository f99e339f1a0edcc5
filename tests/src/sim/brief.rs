//! Short lines for the trace.

use moorline_core::{ConnInput, HttpInput, ServerInput};
use moorline_core::{Frame, Input, Output};

/// The beginning of a debug print, with the text of frames and bodies.
pub(super) fn brief(what: &(impl std::fmt::Debug + Brief)) -> String {
    let mut line = format!("{what:?}");
    line.truncate(line.char_indices().nth(200).map_or(line.len(), |(at, _)| at));
    if let Some(text) = what.text() {
        line.push_str("  ");
        line.extend(text.chars().take(300));
    }
    line
}

pub(super) trait Brief {
    fn text(&self) -> Option<String>;
}

fn frame_text(frame: &Frame) -> Option<String> {
    match frame {
        Frame::Text(text) => Some(text.to_string()),
        _ => None,
    }
}

impl Brief for Input {
    fn text(&self) -> Option<String> {
        match self {
            Self::Conn(ConnInput::Received { frame, .. }) => frame_text(frame),
            Self::Server(ServerInput::Asked { request, .. }) => {
                Some(String::from_utf8_lossy(&request.body).into_owned())
            }
            Self::Http(HttpInput::Replied { result: Ok(response), .. }) => {
                Some(String::from_utf8_lossy(response.bytes()).into_owned())
            }
            _ => None,
        }
    }
}

impl Brief for Output {
    fn text(&self) -> Option<String> {
        match self {
            Self::Send { frame, .. } => frame_text(frame),
            _ => None,
        }
    }
}
