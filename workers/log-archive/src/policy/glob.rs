//! Texts with `*` for any text and `?` for any character.

/// Whether `pattern` fits `text`.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let pattern = pattern.as_bytes();
    let rest = |at: usize| pattern[at..].iter().all(|c| *c == b'*');
    after(pattern, text).into_iter().any(rest)
}

/// Whether `pattern` fits some text that starts with `start` and goes on.
pub(super) fn reaches_beyond(pattern: &str, start: &str) -> bool {
    let goes_on = |at: usize| at < pattern.len();
    after(pattern.as_bytes(), start).into_iter().any(goes_on)
}

/// Whether `pattern` fits every text that starts with `start`.
pub(super) fn fits_all_beyond(pattern: &str, start: &str) -> bool {
    let pattern = pattern.as_bytes();
    let is_open = |at: usize| {
        let rest = &pattern[at..];
        !rest.is_empty() && rest.iter().all(|c| *c == b'*')
    };
    after(pattern, start).into_iter().any(is_open)
}

/// Where in `pattern` one may be once `text` is read. All places at once: patterns are written by
/// attackers too, and trying one after the other takes for ever with enough stars.
fn after(pattern: &[u8], text: &str) -> Vec<usize> {
    let mut places = past_stars(pattern, vec![0]);
    for c in text.bytes() {
        let next = places.iter().filter_map(|at| match pattern.get(*at) {
            Some(b'*') => Some(*at),
            Some(b'?') => Some(at + 1),
            Some(p) if *p == c => Some(at + 1),
            _ => None,
        });
        places = past_stars(pattern, next.collect());
    }
    places
}

/// A star may fit nothing, so that one may be past it as well.
fn past_stars(pattern: &[u8], mut places: Vec<usize>) -> Vec<usize> {
    let mut i = 0;
    while let Some(at) = places.get(i) {
        if pattern.get(*at) == Some(&b'*') {
            places.push(at + 1);
        }
        i += 1;
    }
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_fit_any_text_and_question_marks_any_character() {
        for (pattern, text, fits) in [
            ("s3:putobject", "s3:putobject", true),
            ("s3:put*", "s3:putobject", true),
            ("*", "", true),
            ("s3:*object", "s3:putobject", true),
            ("s3:?utobject", "s3:putobject", true),
            ("s3:get*", "s3:putobject", false),
            ("s3:putobject", "s3:putobjectacl", false),
            ("s3:putobject?", "s3:putobject", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_reaches_into_a_bucket() {
        for (pattern, reaches) in [
            ("logs/*", true),
            ("logs/AWSLogs/123456789012/*", true),
            ("logs*", true),
            ("l*", true),
            ("logs", false),
            ("logs/", false),
            ("other/*", false),
            ("logs-old/*", false),
        ] {
            assert_eq!(reaches_beyond(pattern, "logs/"), reaches, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_fits_all_that_starts_alike() {
        for (pattern, fits) in [
            ("logs/*", true),
            ("logs/AWSLogs/*", true),
            ("logs/AWSLogs/1**", true),
            ("*", true),
            ("logs/AWSLogs/1", false),
            ("logs/AWSLogs/1?", false),
            ("logs/AWSLogs/1*.gz", false),
            ("logs/AWSLogs/12*", false),
        ] {
            assert_eq!(
                fits_all_beyond(pattern, "logs/AWSLogs/1"),
                fits,
                "{pattern}"
            );
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_few() {
        assert!(!matches(&"*a".repeat(2_000), &"a".repeat(60)));
    }
}
