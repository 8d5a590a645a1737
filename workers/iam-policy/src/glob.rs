//! Texts with `*` for any text and `?` for any character.

/// Whether `pattern` fits `text`, in time that no number of stars makes long.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not fit: it takes one character more.
    let mut last_star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                last_star = Some((p, t));
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after, taken)) = last_star else {
                    return false;
                };
                last_star = Some((after, taken + 1));
                (p, t) = (after, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_fit_any_text_and_question_marks_any_character() {
        for (pattern, text, expected) in [
            ("iam:passrole", "iam:passrole", true),
            ("iam:pass*", "iam:passrole", true),
            ("*", "", true),
            ("", "", true),
            ("iam:*role", "iam:passrole", true),
            ("iam:*ass*ole", "iam:passrole", true),
            ("?am:passrole", "iam:passrole", true),
            ("*role*", "iam:passrole", true),
            ("iam:get*", "iam:passrole", false),
            ("iam:passrole", "iam:passroles", false),
            ("iam:passrole?", "iam:passrole", false),
            ("iam:*roles", "iam:passrole", false),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_few() {
        assert!(!fits(&"*a".repeat(2_000), &"a".repeat(1_999)));
        assert!(!fits(
            &format!("{}b", "*a".repeat(2_000)),
            &"a".repeat(5_000)
        ));
    }
}
