//! `PartiQL` statements, as far as they say which table and which items they are about.
//!
//! `=`, `<>`, `IN`, `AND`, `OR`, `NOT` and parentheses are understood; anything else in a condition is
//! unknown, and so is a whole condition that cannot be parsed.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html>

mod condition;
mod token;

use serde_json::Value;

use crate::{
    condition::Condition,
    partiql::{
        condition::{condition, tuple},
        token::Token,
    },
};

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Select,
    /// `EXISTS(SELECT …)`, a transaction's condition check.
    Exists,
    Insert,
    Update,
    Delete,
}

/// One statement.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) verb: Verb,
    /// The parts of what it is about: those of the table's name, and those of an index's.
    about: Vec<String>,
    /// Which items.
    pub(crate) items: Condition,
    /// Whether it has no `WHERE`.
    pub(crate) is_unconditional: bool,
    /// Whether it returns items that it wrote.
    pub(crate) returns: bool,
}

impl Statement {
    /// Reads a statement whose `?` stand for `parameters`, as far as those are recorded. None when it
    /// is not known what it does, or to which table.
    pub(crate) fn read(text: &str, parameters: &Value) -> Option<Self> {
        let tokens = token::tokens(text, parameters)?;
        let (first, rest) = tokens.split_first()?;
        let verb = first.one_of(&[
            ("SELECT", Verb::Select),
            ("EXISTS", Verb::Exists),
            ("INSERT", Verb::Insert),
            ("UPDATE", Verb::Update),
            ("DELETE", Verb::Delete),
        ])?;
        match verb {
            Verb::Exists => {
                let (open, inside) = rest.split_first()?;
                let (close, inside) = inside.split_last()?;
                let is_enclosed = open.is("(") && close.is(")");
                let (select, query) = inside.split_first().filter(|_| is_enclosed)?;
                let query = select.is_word("SELECT").then_some(query)?;
                Self::of(verb, after(query, "FROM")?)
            }
            Verb::Select | Verb::Delete => Self::of(verb, after(rest, "FROM")?),
            Verb::Insert => Self::of(verb, after(rest, "INTO")?),
            Verb::Update => Self::of(verb, rest),
        }
    }

    /// The rest of a statement, from its table on.
    fn of(verb: Verb, tokens: &[Token]) -> Option<Self> {
        let about = about(tokens)?;
        let mut rest = &tokens[2 * about.len() - 1..];
        let returns = before(&mut rest, "RETURNING").is_some();
        let values = match verb {
            Verb::Insert => after(rest, "VALUE").map(tuple),
            _ => after(rest, "WHERE").map(|mut sought| {
                before(&mut sought, "ORDER");
                condition(sought)
            }),
        };
        Some(Self {
            verb,
            about,
            is_unconditional: values.is_none(),
            items: values.unwrap_or_else(|| match verb {
                Verb::Insert => Condition::Unknown,
                _ => Condition::every(),
            }),
            returns,
        })
    }

    /// Whether it is about the table for which `is` is true, as a whole or through an index. Which
    /// dots are part of a name is not known where CloudTrail left the quotes out.
    pub(crate) fn is_about(&self, is: impl Fn(&str) -> bool) -> bool {
        (1..=self.about.len()).any(|parts| is(&self.about[..parts].join(".")))
    }

    /// Whether it is about an index, when its table's name has no dots.
    pub(crate) fn is_about_index(&self) -> bool {
        self.about.len() > 1
    }
}

/// What stands in front of a statement's first other word.
fn about(tokens: &[Token]) -> Option<Vec<String>> {
    let mut parts = vec![tokens.first()?.name()?];
    let mut rest = &tokens[1..];
    while let [dot, part, others @ ..] = rest
        && dot.is(".")
    {
        parts.push(part.name()?);
        rest = others;
    }
    Some(parts)
}

/// The place of a keyword outside of every bracket.
fn place(tokens: &[Token], keyword: &str) -> Option<usize> {
    let mut depth = 0_usize;
    tokens.iter().position(|token| {
        if token.opens() {
            depth += 1;
        } else if token.closes() {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && token.is_word(keyword)
    })
}

fn after<'a>(tokens: &'a [Token], keyword: &str) -> Option<&'a [Token]> {
    place(tokens, keyword).map(|place| &tokens[place + 1..])
}

/// Cuts off a keyword and what follows.
fn before(tokens: &mut &[Token], keyword: &str) -> Option<()> {
    let place = place(tokens, keyword)?;
    *tokens = &tokens[..place];
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{condition::Key, scalar::Scalar};

    fn read(text: &str) -> Statement {
        Statement::read(text, &Value::Null).unwrap_or_else(|| panic!("{text}"))
    }

    /// How far the items of a statement are those with the key `pk = 'a'` and `sk = 7`.
    fn of_decoy(statement: &Statement) -> &'static str {
        let decoy = Key::from([
            ("pk".to_owned(), Scalar::text("a")),
            ("sk".to_owned(), Scalar::number("7").unwrap()),
        ]);
        match statement.items.holds(&decoy) {
            Some(false) => "no",
            _ if statement.items.names(&decoy) => "named",
            Some(true) => "yes",
            None => "unknown",
        }
    }

    #[test]
    fn a_statement_is_about_one_table() {
        for (text, verb, table) in [
            ("SELECT * FROM Patients", Verb::Select, "Patients"),
            ("select * from \"Patients\"", Verb::Select, "Patients"),
            (
                "SELECT pk, \"from\" FROM \"Patients\".\"by-name\" WHERE pk='a'",
                Verb::Select,
                "Patients",
            ),
            (
                "SELECT * FROM Patients.lastName-index",
                Verb::Select,
                "Patients",
            ),
            (
                "SELECT * FROM \"my.table-1\" ORDER BY sk",
                Verb::Select,
                "my.table-1",
            ),
            (
                "SELECT * FROM my.table-1.by-name",
                Verb::Select,
                "my.table-1",
            ),
            (
                "SELECT * FROM \"arn:aws:dynamodb:eu-west-1:123456789012:table/P\"",
                Verb::Select,
                "arn:aws:dynamodb:eu-west-1:123456789012:table/P",
            ),
            (
                "EXISTS(SELECT * FROM \"P\" WHERE pk='a')",
                Verb::Exists,
                "P",
            ),
            (
                "exists ( select * from P where pk = 'a' )",
                Verb::Exists,
                "P",
            ),
            ("INSERT INTO \"P\" VALUE {'pk':'a'}", Verb::Insert, "P"),
            ("UPDATE P SET x=1 WHERE pk='a'", Verb::Update, "P"),
            ("UPDATE \"P\" REMOVE x WHERE pk='a'", Verb::Update, "P"),
            ("DELETE FROM \"P\" WHERE pk='a'", Verb::Delete, "P"),
            (
                "  \n DELETE\tFROM \"a \"\"quoted\"\" name\" WHERE pk='a' ",
                Verb::Delete,
                "a \"quoted\" name",
            ),
        ] {
            let statement = read(text);
            assert_eq!(statement.verb, verb, "{text}");
            assert!(statement.is_about(|name| name == table), "{text}");
            assert!(
                !statement.is_about(|name| name == table.to_lowercase() && name != table),
                "{text}"
            );
        }
        assert!(!read("SELECT * FROM Patients-archive").is_about(|name| name == "Patients"));
        assert!(!read("SELECT * FROM \"PatientsDev\"").is_about(|name| name == "Patients"));
        assert!(read("SELECT * FROM \"P\".\"i\"").is_about_index());
        assert!(!read("SELECT * FROM \"P\"").is_about_index());
    }

    #[test]
    fn a_condition_is_judged_by_the_key() {
        let items = [
            ("SELECT * FROM P", "yes"),
            ("SELECT * FROM P WHERE pk = 'a' AND sk = 7", "named"),
            ("SELECT * FROM P WHERE 7 = sk AND 'a' = \"pk\"", "named"),
            ("SELECT * FROM P WHERE (pk='a' and (sk = 7.0))", "named"),
            (
                "SELECT * FROM P WHERE pk='a' AND sk=7 AND name=***(Redacted)",
                "named",
            ),
            (
                "SELECT * FROM P WHERE pk='a' AND sk=7 AND begins_with(name, 'x')",
                "named",
            ),
            ("SELECT * FROM P WHERE pk='a' AND sk=7 ORDER BY sk", "named"),
            (
                "SELECT * FROM P WHERE pk IN ['b', 'a'] AND sk IN (6,7)",
                "named",
            ),
            (
                "SELECT * FROM P WHERE (pk='b' AND sk=1) OR (pk='a' AND sk=7)",
                "named",
            ),
            ("EXISTS(SELECT * FROM P WHERE pk='a' AND sk=7)", "named"),
            (
                "INSERT INTO P VALUE {'pk':'a', 'sk':7, 'x':***(Redacted), 'y':[1,{'z':2}]}",
                "named",
            ),
            (
                "UPDATE P SET where_='x' SET m={'WHERE':1} WHERE pk='a' AND sk=7",
                "named",
            ),
            (
                "DELETE FROM P WHERE pk='a' AND sk=7 RETURNING ALL OLD *",
                "named",
            ),
            ("SELECT * FROM P WHERE pk = 'a'", "yes"),
            ("SELECT * FROM P WHERE sk <> 8", "yes"),
            ("SELECT * FROM P WHERE sk != 8 AND NOT pk = 'b'", "yes"),
            ("SELECT * FROM P WHERE pk NOT IN ['b','c']", "yes"),
            ("SELECT * FROM P WHERE pk='a' OR name='x'", "yes"),
            ("SELECT * FROM P WHERE pk='b' AND sk=7", "no"),
            ("SELECT * FROM P WHERE pk='A' AND sk=7", "no"),
            ("SELECT * FROM P WHERE NOT (pk='a')", "no"),
            ("SELECT * FROM P WHERE pk IN ['b','c'] AND name > 'm'", "no"),
            ("SELECT * FROM P WHERE pk='it''s'", "no"),
            ("INSERT INTO P VALUE {'pk':'b','sk':7}", "no"),
            ("SELECT * FROM P WHERE pk = ?", "unknown"),
            (
                "SELECT * FROM P WHERE pk='a' AND sk = ***(Redacted)",
                "unknown",
            ),
            (
                "SELECT * FROM P WHERE pk='a' AND sk BETWEEN 1 AND 9",
                "unknown",
            ),
            ("SELECT * FROM P WHERE pk='a' AND sk > 6", "unknown"),
            ("SELECT * FROM P WHERE pk='a' AND sk IN [?, 8]", "unknown"),
            ("SELECT * FROM P WHERE name = 'x'", "unknown"),
            ("SELECT * FROM P WHERE name IS NOT MISSING", "unknown"),
            ("SELECT * FROM P WHERE a.pk = 'a'", "unknown"),
            ("SELECT * FROM P WHERE pk[0] = 'b'", "unknown"),
            ("SELECT * FROM P WHERE size(pk) = 'b'", "unknown"),
            ("SELECT * FROM P WHERE (pk) = 'b'", "unknown"),
            (
                "SELECT * FROM P WHERE contains(pk, 'a') AND attribute_exists(sk)",
                "unknown",
            ),
            ("SELECT * FROM P WHERE pk = 'b' ||", "unknown"),
            ("SELECT * FROM P WHERE", "unknown"),
            ("SELECT * FROM P WHERE pk = ", "unknown"),
            ("SELECT * FROM P WHERE pk IN", "unknown"),
            ("SELECT * FROM P WHERE pk IN ['b'", "unknown"),
            ("SELECT * FROM P WHERE ) = (", "unknown"),
            ("SELECT * FROM P WHERE pk = 'b' pk = 'b'", "unknown"),
            ("INSERT INTO P VALUE ?", "unknown"),
            ("INSERT INTO P VALUE {'pk':'b'", "unknown"),
            ("INSERT INTO P <<{'pk':'b'}>>", "unknown"),
        ];
        for (text, expected) in items {
            assert_eq!(of_decoy(&read(text)), expected, "{text}");
        }
    }

    #[test]
    fn parameters_stand_for_question_marks_in_their_order() {
        let text = "SELECT * FROM P WHERE sk = ? AND pk = ?";
        for (parameters, expected) in [
            (json!([7, "a"]), "named"),
            (json!([{"N": "7"}, {"S": "a"}]), "named"),
            (json!(["a", 7]), "no"),
            (json!([7]), "unknown"),
            (json!([7, "***(Redacted)"]), "unknown"),
            (json!("a"), "unknown"),
        ] {
            let statement = Statement::read(text, &parameters).unwrap();
            assert_eq!(of_decoy(&statement), expected, "{parameters}");
        }
    }

    #[test]
    fn what_a_write_returns_is_read() {
        for text in [
            "UPDATE P SET x=1 WHERE pk='a' RETURNING ALL OLD *",
            "update P set x=1 where pk='a' returning modified new *",
            "DELETE FROM P WHERE pk='a' RETURNING ALL OLD *",
        ] {
            assert!(read(text).returns, "{text}");
        }
        assert!(!read("UPDATE P SET x='RETURNING' WHERE pk='a'").returns);
    }

    #[test]
    fn what_is_no_statement_about_a_table_is_none() {
        for text in [
            "",
            "   ",
            "***(Redacted)",
            "MERGE INTO P",
            "SELECT",
            "SELECT * FROM",
            "SELECT * FROM ?",
            "SELECT * FROM 'P",
            "SELECT * FROM \"P",
            "INSERT P VALUE {}",
            "EXISTS",
            "EXISTS(",
            "EXISTS()",
            "EXISTS(SELECT",
            "EXISTS(DELETE FROM P)",
            "UPDATE",
            "DELETE P",
        ] {
            assert!(Statement::read(text, &Value::Null).is_none(), "{text}");
        }
    }

    #[test]
    fn nesting_has_an_end_and_a_statement_may_be_cut_anywhere() {
        for open in ["(", "NOT ", "[", "{", "((pk = ", "pk IN ("] {
            let text = format!("SELECT * FROM P WHERE {}", open.repeat(50_000));
            assert_eq!(of_decoy(&read(&text)), "unknown", "{open}");
        }
        let deep = format!("{}pk='a'{}", "(".repeat(20_000), ")".repeat(20_000));
        assert_eq!(
            of_decoy(&read(&format!("DELETE FROM P WHERE {deep}"))),
            "unknown"
        );
        let whole = "EXISTS(SELECT \"a\".\"b\" FROM \"P\".\"i\" WHERE (pk IN ['a', ?] AND NOT sk = -7.5e3) \
                     OR é = ***(Redacted) AND f(x, {'y': <<1>>}) RETURNING ALL OLD *)";
        for (cut, _) in whole.char_indices() {
            let _ = Statement::read(&whole[..cut], &json!(["a"]));
            let _ = Statement::read(&whole[cut..], &json!(["a"]));
        }
    }
}
