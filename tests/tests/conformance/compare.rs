//! Traces, turn by turn.

/// What an executor says to one script: for each line of it a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace(Vec<String>);

/// The line that ends a turn begins so.
const TURN: &str = "{\"turn\":";

impl Trace {
    /// Adds a turn.
    pub(crate) fn turn(&mut self, text: String) {
        self.0.push(text);
    }

    /// Returns the turn of a line.
    pub(crate) fn of(&self, line: usize) -> &str {
        self.0.get(line).map_or("", String::as_str)
    }

    /// Takes what an executor says to several scripts apart; `lengths` counts their lines.
    pub(crate) fn split(text: &str, lengths: impl Iterator<Item = usize>) -> Vec<Self> {
        let mut turns = Vec::new();
        let mut turn = String::new();
        for line in text.split_inclusive('\n') {
            turn.push_str(line);
            if line.starts_with(TURN) {
                turns.push(std::mem::take(&mut turn));
            }
        }
        // What is behind the last turn is shown as one.
        turns.extend(Some(turn).filter(|turn| !turn.is_empty()));
        let mut turns = turns.into_iter();
        lengths.map(|length| Self(turns.by_ref().take(length).collect())).collect()
    }
}

/// Says where two traces differ first.
pub(crate) fn difference(expected: &Trace, seen: &Trace) -> Option<String> {
    let lines = expected.0.len().max(seen.0.len());
    (0..lines).map(|line| (line + 1, expected.of(line), seen.of(line))).find_map(
        |(line, expected, seen)| {
            (expected != seen).then(|| format!("line {line}: expected\n{expected}but got\n{seen}"))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "{\"out\":1}\n{\"turn\":{\"next\":5}}\n{\"turn\":{\"next\":null}}\n";

    fn trace(text: &str) -> Trace {
        let [trace] = &Trace::split(text, std::iter::once(2))[..] else { panic!("{text}") };
        trace.clone()
    }

    #[test]
    fn equal_traces_have_no_difference() {
        assert_eq!(difference(&trace(ONE), &trace(ONE)), None);
    }

    #[test]
    fn whatever_is_planted_is_found() {
        for planted in [
            ONE.replace("\"out\":1", "\"out\":2"),
            ONE.replace("5", "6"),
            ONE.replace("{\"out\":1}\n", ""),
            ONE.replace("{\"out\":1}\n", "{\"out\":1}\n{\"out\":1}\n"),
            ONE.replace("{\"turn\":{\"next\":null}}\n", ""),
            ONE.replace("{\"turn\":{\"next\":null}}\n", "{\"out\":1}\n"),
            ONE.replace(
                "{\"turn\":{\"next\":null}}\n",
                "{\"out\":1}\n{\"turn\":{\"next\":null}}\n",
            ),
            String::new(),
        ] {
            assert_ne!(planted, ONE);
            assert!(difference(&trace(ONE), &trace(&planted)).is_some(), "{planted}");
        }
    }

    #[test]
    fn each_script_gets_the_turns_of_its_lines() {
        let text = ONE.repeat(2);
        let traces = Trace::split(&text, [1, 2, 1, 1].into_iter());
        let lengths: Vec<_> = traces.iter().map(|trace| trace.0.len()).collect();
        assert_eq!(lengths, [1, 2, 1, 0]);
    }
}
