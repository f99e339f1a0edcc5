//! Texts that are UTF-8 and texts that are not, after Markus Kuhn's stress test of decoders.

/// Returns the texts of sections 6.5 to 6.23.
pub(super) fn sections() -> Vec<Vec<Vec<u8>>> {
    let greek = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";
    let lonely = |from: u8, to: u8| (from..to).flat_map(|byte| [byte, b' ']).collect::<Vec<_>>();
    let unfinished: [&[u8]; 10] = [
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xf8\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        b"\xfb\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf",
    ];
    vec![
        texts(&[
            b"hello\x24world",
            b"hello\xc2\xa2world",
            b"hello\xe2\x82\xacworld",
            b"hello\xf0\xa4\xad\xa2world",
            greek,
        ]),
        (1..=greek.len()).map(|end| greek[..end].to_vec()).collect(),
        texts(&[b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"]),
        texts(&[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"]),
        texts(&[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"]),
        texts(&[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"]),
        texts(&[
            b"\xed\x9f\xbf",
            b"\xee\x80\x80",
            b"\xef\xbf\xbd",
            b"\xf4\x8f\xbf\xbf",
            b"\xf4\x90\x80\x80",
        ]),
        [
            texts(&[
                b"\x80",
                b"\xbf",
                b"\x80\xbf",
                b"\x80\xbf\x80",
                b"\x80\xbf\x80\xbf",
                b"\x80\xbf\x80\xbf\x80",
                b"\x80\xbf\x80\xbf\x80\xbf",
            ]),
            vec![(0x80..0xbf).collect()],
        ]
        .concat(),
        vec![
            lonely(0xc0, 0xdf),
            lonely(0xe0, 0xef),
            lonely(0xf0, 0xf7),
            lonely(0xf8, 0xfb),
            lonely(0xfc, 0xfd),
        ],
        texts(&unfinished),
        vec![unfinished.concat()],
        texts(&[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
        texts(&[
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xf0\x80\x80\xaf",
            b"\xf8\x80\x80\x80\xaf",
            b"\xfc\x80\x80\x80\x80\xaf",
        ]),
        texts(&[
            b"\xc1\xbf",
            b"\xe0\x9f\xbf",
            b"\xf0\x8f\xbf\xbf",
            b"\xf8\x87\xbf\xbf\xbf",
            b"\xfc\x83\xbf\xbf\xbf\xbf",
        ]),
        texts(&[
            b"\xc0\x80",
            b"\xe0\x80\x80",
            b"\xf0\x80\x80\x80",
            b"\xf8\x80\x80\x80\x80",
            b"\xfc\x80\x80\x80\x80\x80",
        ]),
        texts(&[
            b"\xed\xa0\x80",
            b"\xed\xad\xbf",
            b"\xed\xae\x80",
            b"\xed\xaf\xbf",
            b"\xed\xb0\x80",
            b"\xed\xbe\x80",
            b"\xed\xbf\xbf",
        ]),
        [b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf"]
            .into_iter()
            .flat_map(|high| {
                [b"\xed\xb0\x80", b"\xed\xbf\xbf"].map(|low| [&high[..], &low[..]].concat())
            })
            .collect(),
        non_characters(),
        (0xb9..=0xbf).map(|last| vec![0xef, 0xbf, last]).collect(),
    ]
}

/// The two last code points of each plane that has such a second byte: valid, although no characters.
fn non_characters() -> Vec<Vec<u8>> {
    let mut texts = vec![b"\xef\xbf\xbe".to_vec(), b"\xef\xbf\xbf".to_vec()];
    for first in 0xf0..=0xf4 {
        for second in [0x8f, 0x9f, 0xaf, 0xbf] {
            let is_too_long = first == 0xf0 && second == 0x8f;
            let is_beyond = first == 0xf4 && second != 0x8f;
            if !is_too_long && !is_beyond {
                texts.extend([0xbe, 0xbf].map(|last| vec![first, second, 0xbf, last]));
            }
        }
    }
    texts
}

fn texts(texts: &[&[u8]]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.to_vec()).collect()
}
