//! Whether and how messages are compressed: the words of both sides (RFC 7692, section 7.1).

use moorline_core::Deflate;

/// The largest window that there is, and the smallest that we use, as powers of two.
const LARGEST: u8 = 15;
const SMALLEST: u8 = 9;

/// What both sides have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// How we compress; without, we do not.
    pub(super) ours: Option<Context>,
    /// How the other side does.
    pub(super) theirs: Context,
    /// From how many bytes on we compress what is not marked.
    pub(super) threshold: Option<usize>,
}

/// What one side looks for repetitions in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    /// The window, as a power of two.
    pub(super) window_bits: u8,
    /// Whether it reaches into earlier messages.
    pub(super) is_kept: bool,
}

/// Says what a side that dials would like.
pub(crate) fn offer(wanted: &Deflate) -> String {
    let mut offer = String::from("permessage-deflate");
    if wanted.server_no_context_takeover {
        offer.push_str("; server_no_context_takeover");
    }
    if wanted.client_no_context_takeover {
        offer.push_str("; client_no_context_takeover");
    }
    if let bits @ 0..LARGEST = usable(wanted.server_max_window_bits) {
        offer.push_str(&format!("; server_max_window_bits={bits}"));
    }
    offer.push_str("; client_max_window_bits");
    if let bits @ 0..LARGEST = usable(wanted.client_max_window_bits) {
        offer.push_str(&format!("={bits}"));
    }
    offer
}

/// Reads a server's answer to an offer; `None` if it grants nothing.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn accept(
    answer: &str,
    offered: Option<&Deflate>,
) -> Result<Option<Agreed>, &'static str> {
    const WRONG: &str = "the server grants an extension that was not offered";
    if answer.trim().is_empty() {
        return Ok(None);
    }
    let offered = offered.ok_or(WRONG)?;
    let granted = Parameters::read(answer).ok_or(WRONG)?;
    let bits = |granted: Option<Option<u8>>, offered: u8| match granted {
        None => Ok(usable(offered)),
        Some(Some(bits)) => Ok(bits.min(usable(offered))),
        Some(None) => Err("the server grants a window without its size"),
    };
    let ours = bits(granted.client_bits, offered.client_max_window_bits)?;
    let theirs = bits(granted.server_bits, LARGEST)?;
    let is_kept = !granted.client_no_takeover && !offered.client_no_context_takeover;
    Ok(Some(Agreed {
        // Our compressor has no smaller window. Nobody must compress.
        ours: (ours >= SMALLEST).then_some(Context { window_bits: ours, is_kept }),
        theirs: Context { window_bits: theirs, is_kept: !granted.server_no_takeover },
        threshold: offered.threshold,
    }))
}

/// Grants the first of a client's offers that can be, and says so.
pub(crate) fn grant<'a>(
    mut offers: impl Iterator<Item = &'a str>,
    granted: &Deflate,
) -> Option<(Agreed, String)> {
    let is_usable = |offer: &Parameters| offer.server_bits != Some(None);
    let offer =
        offers.find_map(|offers| offers.split(',').filter_map(Parameters::read).find(is_usable))?;
    let asked = offer.server_bits.flatten().unwrap_or(LARGEST);
    let ours = Context {
        window_bits: usable(granted.server_max_window_bits.min(asked)),
        is_kept: !granted.server_no_context_takeover && !offer.server_no_takeover,
    };
    // Whoever does not speak of its window cannot be told to make it smaller.
    let theirs = Context {
        window_bits: offer.client_bits.map_or(LARGEST, |asked| {
            usable(granted.client_max_window_bits.min(asked.unwrap_or(LARGEST)))
        }),
        is_kept: !granted.client_no_context_takeover && !offer.client_no_takeover,
    };
    let mut answer = String::from("permessage-deflate");
    if !theirs.is_kept {
        answer.push_str("; client_no_context_takeover");
    }
    if !ours.is_kept {
        answer.push_str("; server_no_context_takeover");
    }
    if theirs.window_bits < LARGEST {
        answer.push_str(&format!("; client_max_window_bits={}", theirs.window_bits));
    }
    if ours.window_bits < LARGEST {
        answer.push_str(&format!("; server_max_window_bits={}", ours.window_bits));
    }
    Some((Agreed { ours: Some(ours), theirs, threshold: granted.threshold }, answer))
}

fn usable(bits: u8) -> u8 {
    bits.clamp(SMALLEST, LARGEST)
}

/// What an offer or an answer says. A window may come without its size.
#[derive(Debug, Default)]
struct Parameters {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Option<Option<u8>>,
    client_bits: Option<Option<u8>>,
}

impl Parameters {
    /// Reads one extension; `None` if it is another one, or not as it must be.
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(';').map(str::trim);
        if !words.next()?.eq_ignore_ascii_case("permessage-deflate") {
            return None;
        }
        let mut parameters = Self::default();
        for word in words {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start()))),
                None => (word, None),
            };
            let is_new = match (name, value) {
                ("server_no_context_takeover", None) => {
                    !std::mem::replace(&mut parameters.server_no_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    !std::mem::replace(&mut parameters.client_no_takeover, true)
                }
                ("server_max_window_bits", value) => {
                    parameters.server_bits.replace(bits(value)?).is_none()
                }
                ("client_max_window_bits", value) => {
                    parameters.client_bits.replace(bits(value)?).is_none()
                }
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        Some(parameters)
    }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// Reads a window's size if there is one; `None` if it is none.
fn bits(value: Option<&str>) -> Option<Option<u8>> {
    const SIZES: [&str; 8] = ["8", "9", "10", "11", "12", "13", "14", "15"];
    let Some(value) = value else { return Some(None) };
    let (bits, _) = (8..).zip(SIZES).find(|(_, size)| *size == value)?;
    Some(Some(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Deflate = Deflate {
        server_max_window_bits: 15,
        client_max_window_bits: 15,
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        threshold: None,
    };
    const DEDICATED: Deflate = Deflate { client_no_context_takeover: true, ..ALL };

    fn granted(offers: &[&str], granted: &Deflate) -> Option<String> {
        grant(offers.iter().copied(), granted).map(|(_, answer)| answer)
    }

    #[test]
    fn offers_are_granted_up_to_what_is_allowed() {
        const OFFER: &str = "permessage-deflate; client_max_window_bits";
        let shared = Deflate { server_no_context_takeover: true, ..DEDICATED };
        let small = Deflate { server_max_window_bits: 9, ..DEDICATED };
        let answer = |offer: &str, of: &Deflate| granted(&[offer], of).unwrap();
        let begin = "permessage-deflate; client_no_context_takeover";
        assert_eq!(answer(OFFER, &ALL), "permessage-deflate");
        assert_eq!(answer("permessage-deflate", &DEDICATED), begin);
        assert_eq!(answer(OFFER, &shared), format!("{begin}; server_no_context_takeover"));
        assert_eq!(answer(OFFER, &small), format!("{begin}; server_max_window_bits=9"));
        for (asked, got) in [(8, 9), (10, 10), (14, 14)] {
            let offer = format!("permessage-deflate; server_max_window_bits={asked}");
            let wanted = format!("{begin}; server_max_window_bits={got}");
            assert_eq!(answer(&offer, &DEDICATED), wanted);
        }
        let offer = "permessage-deflate; server_no_context_takeover; client_max_window_bits=12";
        let wanted = "permessage-deflate; server_no_context_takeover; client_max_window_bits=12";
        assert_eq!(answer(offer, &ALL), wanted);
    }

    #[test]
    fn what_is_no_offer_is_passed_over() {
        let none: [&[&str]; 7] = [
            &[],
            &[""],
            &["x-webkit-deflate-frame"],
            &["permessage-deflate; server_max_window_bits"],
            &["permessage-deflate; server_max_window_bits=16"],
            &["permessage-deflate; client_no_context_takeover; client_no_context_takeover"],
            &["permessage-deflate; unknown", "permessage-deflate; client_max_window_bits=09"],
        ];
        for offers in none {
            assert_eq!(granted(offers, &ALL), None, "{offers:?}");
        }
        let offers = [
            "x-other, permessage-deflate; server_max_window_bits=7",
            "Permessage-Deflate;client_max_window_bits=\"10\"",
        ];
        let answer = granted(&offers, &ALL).unwrap();
        assert_eq!(answer, "permessage-deflate; client_max_window_bits=10");
    }

    #[test]
    fn what_is_offered_is_what_a_browser_offers_unless_less_is_wanted() {
        assert_eq!(offer(&ALL), "permessage-deflate; client_max_window_bits");
        let less = Deflate {
            server_max_window_bits: 10,
            client_max_window_bits: 11,
            server_no_context_takeover: true,
            ..DEDICATED
        };
        let wanted = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                      server_max_window_bits=10; client_max_window_bits=11";
        assert_eq!(offer(&less), wanted);
    }

    #[test]
    fn answers_are_taken_as_they_are_or_refused() {
        let agreed = |answer| accept(answer, Some(&ALL)).unwrap();
        assert_eq!(agreed(""), None);
        let answer = "permessage-deflate; client_no_context_takeover; server_max_window_bits=9";
        let Agreed { ours, theirs, .. } = agreed(answer).unwrap();
        assert_eq!(ours, Some(Context { window_bits: 15, is_kept: false }));
        assert_eq!(theirs, Context { window_bits: 9, is_kept: true });
        assert_eq!(agreed("permessage-deflate; client_max_window_bits=8").unwrap().ours, None);
        let wrong = [
            "x-webkit-deflate-frame",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=1",
            "permessage-deflate, permessage-deflate",
        ];
        for answer in wrong {
            assert!(accept(answer, Some(&ALL)).is_err(), "{answer}");
        }
        assert!(accept("permessage-deflate", None).is_err());
    }
}
