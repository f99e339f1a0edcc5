//! Tells plain answers and messages from other events without reading them.

const ANSWER: &[u8] = br#"{"event":"call_done","call":"#;
const VALUE: &[u8] = br#","value":"#;
const MESSAGE: &[u8] = br#"{"event":"message","peer":null,"payload":"#;

/// Hands each call and its result's text to `each`, and each message as that of call 0, up to the first
/// event of a batch that is anything but a call's success or a client's message, with JSON alone.
/// Returns what follows, without the bracket that opens the batch, or nothing if nothing follows.
pub(crate) fn split<'a>(batch: &'a [u8], mut each: impl FnMut(u64, &'a [u8])) -> &'a [u8] {
    let mut rest = batch.get(1..).unwrap_or_default();
    while let Some((call, text, after)) = message(rest).or_else(|| answer(rest)) {
        each(call, text);
        match after {
            [b',', others @ ..] => rest = others,
            _ => return &[],
        }
    }
    if rest == b"]" { &[] } else { rest }
}

/// Reads a plain answer at the begin of `events`: the call, its result's text, what follows.
fn answer(events: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let mut rest = events.strip_prefix(ANSWER)?;
    let mut call: u64 = 0;
    while let [digit @ b'0'..=b'9', others @ ..] = rest {
        call = call.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        rest = others;
    }
    if let [b'}', after @ ..] = rest {
        return Some((call, b"null", after));
    }
    value(rest.strip_prefix(VALUE)?).map(|(text, after)| (call, text, after))
}

fn message(events: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    value(events.strip_prefix(MESSAGE)?).map(|(text, after)| (0, text, after))
}

/// Reads the value at the begin of `text` if it is the last of its event: the value, what follows.
fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    match text.split_at_checked(end(text)?)? {
        (value, [b'}', after @ ..]) => Some((value, after)),
        _ => None,
    }
}

/// Finds what ends the value at the begin of `text`: the first comma or closing bracket that is not its
/// own.
fn end(text: &[u8]) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return Some(at),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    None
}
