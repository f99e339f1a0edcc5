//! Results that fit into a message, whatever their bytes become as JSON.

use serde_json::Value;

/// What stands in the place of what was cut.
const NOTE: &str = "\n[cut here: the result is larger than limits.max_message_bytes]\n";

/// Cuts the longest text to half until the outputs have at most `max` bytes of JSON.
pub(super) fn fit(mut outputs: Value, max: usize) -> Value {
    while outputs.to_string().len() > max {
        let texts = outputs.as_object_mut().into_iter().flat_map(|fields| fields.values_mut());
        let texts = texts
            .filter_map(|value| if let Value::String(text) = value { Some(text) } else { None });
        let longest = texts.max_by_key(|text| text.len());
        let Some(text) = longest.filter(|text| text.len() > 4 * NOTE.len()) else { break };
        text.truncate(text.floor_char_boundary(text.len() / 2));
        text.push_str(NOTE);
    }
    outputs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fits_is_left_alone_and_the_rest_is_cut_until_it_does() {
        let small = json!({"Result": "ok", "StdOut": "ok", "StdErr": "", "ExitCode": 0});
        assert_eq!(fit(small.clone(), 100), small);
        for text in ["\u{1}", "\u{fffd}", "plain "] {
            let out = text.repeat(100_000);
            let large = json!({"Result": out, "StdOut": out, "StdErr": "why", "ExitCode": 1});
            let cut = fit(large, 65_536);
            assert!(cut.to_string().len() <= 65_536);
            assert!(cut["StdOut"].as_str().unwrap().ends_with(NOTE));
            assert!(cut["StdOut"].as_str().unwrap().len() > 2_000);
            assert_eq!((&cut["StdErr"], &cut["ExitCode"]), (&json!("why"), &json!(1)));
        }
        assert!(fit(json!({"StdErr": ""}), 1).to_string().len() > 1, "it ends");
    }
}
