//! Reads the SAM template: YAML with `CloudFormation`'s short tags, which become their long forms.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Number, Value, json};

/// The template as JSON: `!Ref X` is `{"Ref": "X"}`, `!GetAtt X.Arn` is
/// `{"Fn::GetAtt": ["X", "Arn"]}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(pub Value);

/// One resource of the template.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// Its logical id.
    pub id: &'a str,
    /// `AWS::IAM::Role`.
    pub kind: &'a str,
    /// The condition under which it is there.
    pub condition: Option<&'a str>,
    /// Its properties; null when it has none.
    pub properties: &'a Value,
}

/// One statement of a role's policies.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a>(&'a Value);

/// Why a text is no template.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not YAML.
    #[error(transparent)]
    Yaml(#[from] saphyr::ScanError),
    /// It is YAML that JSON cannot express.
    #[error("{0}")]
    NotJson(&'static str),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When it is not one YAML document of maps with text keys.
    pub fn read(yaml: &str) -> Result<Self, Unreadable> {
        match Yaml::load_from_str(yaml)?.as_slice() {
            [document] => Ok(Self(json(document)?)),
            _ => Err(Unreadable::NotJson("expected one document")),
        }
    }

    /// A section's entries, `Parameters` or `Outputs`.
    pub fn section(&self, name: &str) -> impl Iterator<Item = (&str, &Value)> {
        entries(&self.0[name])
    }

    /// Every resource.
    pub fn resources(&self) -> impl Iterator<Item = Resource<'_>> {
        self.section("Resources").map(|(id, resource)| Resource {
            id,
            kind: resource["Type"].as_str().unwrap_or_default(),
            condition: resource["Condition"].as_str(),
            properties: &resource["Properties"],
        })
    }

    /// Every resource of one type.
    pub fn of_type(&self, kind: &str) -> impl Iterator<Item = Resource<'_>> {
        self.resources().filter(move |it| it.kind == kind)
    }

    /// One resource.
    #[must_use]
    pub fn resource(&self, id: &str) -> Option<Resource<'_>> {
        self.resources().find(|resource| resource.id == id)
    }

    /// The statements of every policy that the template gives a role, inline or beside it.
    pub fn statements<'a>(&'a self, role: Resource<'a>) -> impl Iterator<Item = Statement<'a>> {
        let inline = each(&role.properties["Policies"]).iter();
        let beside = [
            "AWS::IAM::Policy",
            "AWS::IAM::ManagedPolicy",
            "AWS::IAM::RolePolicy",
        ]
        .into_iter()
        .flat_map(|kind| self.of_type(kind))
        .map(|policy| policy.properties)
        .filter(move |policy| {
            let roles = each(&policy["Roles"]).iter().chain([&policy["RoleName"]]);
            let mut roles = roles.filter_map(|it| self.referred(it));
            roles.any(|it| it.id == role.id)
        });
        inline
            .chain(beside)
            .flat_map(|policy| Statement::of(&policy["PolicyDocument"]))
    }

    /// The resource whose ARN or name a value is: `!GetAtt X.Arn`, `!Ref X` or `!Sub "${X.Arn}"`.
    #[must_use]
    pub fn referred(&self, value: &Value) -> Option<Resource<'_>> {
        let id = match entries(value).next()? {
            ("Ref", name) => name.as_str()?,
            ("Fn::GetAtt", path) => match path.as_array()?.as_slice() {
                [id, attribute] if attribute == "Arn" => id.as_str()?,
                _ => return None,
            },
            ("Fn::Sub", text) => {
                let inner = text.as_str()?.strip_prefix("${")?.strip_suffix('}')?;
                inner.strip_suffix(".Arn").unwrap_or(inner)
            }
            _ => return None,
        };
        self.resource(id)
    }
}

impl<'a> Statement<'a> {
    /// The statements of a policy document.
    pub fn of(document: &'a Value) -> impl Iterator<Item = Self> {
        each(&document["Statement"])
            .iter()
            .flat_map(chosen)
            .map(Self)
    }

    /// What it allows, as written, with patterns; nothing when it denies.
    pub fn actions(self) -> impl Iterator<Item = &'a str> {
        let allows = self.0["Effect"] == "Allow";
        let actions = each(&self.0["Action"]).iter().filter_map(Value::as_str);
        actions.filter(move |_| allows)
    }

    /// Whether it allows `action`, on whatever resource.
    #[must_use]
    pub fn allows(self, action: &str) -> bool {
        self.actions().any(|pattern| is_like(action, pattern))
    }

    /// Whether it allows whatever it does not name.
    #[must_use]
    pub fn allows_all_but(self) -> bool {
        self.0["Effect"] == "Allow" && !self.0["NotAction"].is_null()
    }

    /// When it applies; null for always.
    #[must_use]
    pub fn condition(self) -> &'a Value {
        &self.0["Condition"]
    }

    /// The resources it is about.
    #[must_use]
    pub fn resources(self) -> &'a [Value] {
        each(&self.0["Resource"])
    }
}

impl<'a> Resource<'a> {
    /// The text of a property.
    #[must_use]
    pub fn text(&self, property: &str) -> Option<&'a str> {
        self.properties[property].as_str()
    }
}

/// The entries of an object; none of anything else.
pub fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let map = value.as_object().into_iter().flatten();
    map.map(|(key, value)| (key.as_str(), value))
}

/// The values of a list; anything but a list stands for itself, and null for nothing.
#[must_use]
pub fn each(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

/// A text with the values of its own variables in place; what the deployment decides stays
/// `${AWS::…}`.
#[must_use]
pub fn text(value: &Value) -> Option<String> {
    let (template, variables) = match value {
        Value::String(text) => return Some(text.clone()),
        Value::Object(_) => match &value["Fn::Sub"] {
            Value::String(text) => return Some(text.clone()),
            Value::Array(parts) => match parts.as_slice() {
                [template, variables] => (template.as_str()?, variables),
                _ => return None,
            },
            _ => return None,
        },
        _ => return None,
    };
    let mut filled = template.to_owned();
    for (name, value) in entries(variables) {
        filled = filled.replace(&format!("${{{name}}}"), &text(value)?);
    }
    Some(filled)
}

/// A value as it is once deployed, with what `given` says in the place of each parameter, pseudo
/// parameter, resource and `Resource.Attribute`; every condition holds.
///
/// # Errors
/// Names what `given` does not know.
pub fn filled(value: &Value, given: &dyn Fn(&str) -> Option<String>) -> Result<Value, String> {
    let known = |name: &str| given(name).ok_or_else(|| name.to_owned());
    match value {
        Value::Array(values) => values.iter().map(|it| filled(it, given)).collect(),
        Value::Object(map) => match map.iter().next() {
            Some((key, name)) if key == "Ref" => {
                known(name.as_str().unwrap_or_default()).map(Value::String)
            }
            Some((key, Value::Array(path))) if key == "Fn::GetAtt" => {
                let path: Vec<_> = path.iter().filter_map(Value::as_str).collect();
                known(&path.join(".")).map(Value::String)
            }
            Some((key, Value::Array(sides))) if key == "Fn::If" => {
                filled(sides.get(1).unwrap_or(&Value::Null), given)
            }
            Some((key, parts)) if key == "Fn::Sub" => {
                let (template, variables) = match parts {
                    Value::Array(parts) if parts.len() == 2 => (&parts[0], Some(&parts[1])),
                    template => (template, None),
                };
                let mut text = template.as_str().ok_or_else(|| key.clone())?.to_owned();
                for (name, value) in variables.into_iter().flat_map(entries) {
                    let value = filled(value, given)?;
                    let value = value.as_str().ok_or_else(|| name.to_owned())?;
                    text = text.replace(&format!("${{{name}}}"), value);
                }
                while let Some((name, _)) = text
                    .split_once("${")
                    .and_then(|(_, rest)| rest.split_once('}'))
                {
                    text = text.replace(&format!("${{{name}}}"), &known(name)?);
                }
                Ok(Value::String(text))
            }
            Some((key, Value::Array(parts))) if key == "Fn::Split" || key == "Fn::Join" => {
                let [separator, of] = parts.as_slice() else {
                    return Err(key.clone());
                };
                let separator = separator.as_str().ok_or_else(|| key.clone())?;
                match filled(of, given)? {
                    Value::String(text) => Ok(text.split(separator).map(Value::from).collect()),
                    Value::Array(texts) => {
                        let texts: Vec<_> = texts.iter().filter_map(Value::as_str).collect();
                        Ok(Value::String(texts.join(separator)))
                    }
                    _ => Err(key.clone()),
                }
            }
            Some((key, _)) if key.starts_with("Fn::") => Err(key.clone()),
            _ => map
                .iter()
                .map(|(key, value)| Ok((key.clone(), filled(value, given)?)))
                .collect::<Result<_, _>>()
                .map(Value::Object),
        },
        _ => Ok(value.clone()),
    }
}

/// What a value may turn out to be: both sides of an `Fn::If`, but not `AWS::NoValue`.
fn chosen(value: &Value) -> Vec<&Value> {
    match value["Fn::If"].as_array().map(Vec::as_slice) {
        Some([_, yes, no]) => [yes, no].into_iter().flat_map(chosen).collect(),
        _ if value["Ref"] == "AWS::NoValue" => Vec::new(),
        _ => vec![value],
    }
}

/// Whether IAM's pattern, in which `*` stands for any text and `?` for any character, matches.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut characters = pattern.chars();
    match characters.next() {
        None => text.is_empty(),
        Some('*') => {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter()
                .any(|at| is_like(&text[at..], characters.as_str()))
        }
        Some(wanted) => text.chars().next().is_some_and(|found| {
            (wanted == '?' || wanted.eq_ignore_ascii_case(&found))
                && is_like(&text[found.len_utf8()..], characters.as_str())
        }),
    }
}

fn json(yaml: &Yaml<'_>) -> Result<Value, Unreadable> {
    Ok(match yaml {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => Value::Bool(*value),
            Scalar::Integer(value) => json!(value),
            Scalar::FloatingPoint(value) => Number::from_f64(value.into_inner())
                .map(Value::Number)
                .ok_or(Unreadable::NotJson("a number is not finite"))?,
            Scalar::String(value) => Value::String(value.to_string()),
        },
        Yaml::Sequence(values) => values.iter().map(json).collect::<Result<_, _>>()?,
        Yaml::Mapping(map) => {
            let mut object = Map::new();
            for (key, value) in map {
                let key = key
                    .as_str()
                    .ok_or(Unreadable::NotJson("a key is not text"))?;
                let value = json(value)?;
                let value = if key == "Fn::GetAtt" {
                    split(&value)
                } else {
                    value
                };
                object.insert(key.to_owned(), value);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tag, value) => {
            let value = json(value)?;
            match tag.suffix.as_str() {
                name @ ("Ref" | "Condition") => json!({ name: value }),
                "GetAtt" => json!({"Fn::GetAtt": split(&value)}),
                name => json!({ format!("Fn::{name}"): value }),
            }
        }
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => {
            return Err(Unreadable::NotJson("a value cannot be read"));
        }
    })
}

/// `X.Arn` is short for `[X, Arn]`.
fn split(attribute: &Value) -> Value {
    let parts = attribute.as_str().and_then(|text| text.split_once('.'));
    parts.map_or_else(|| attribute.clone(), |(id, name)| json!([id, name]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_tags_become_their_long_forms() {
        let template = Template::read(
            r#"
            A: !GetAtt X.Arn
            B: {"Fn::GetAtt": X.Stream.Arn}
            C: [!Ref X, !Sub "${X}-y", !Not [!Condition Z]]
            D: !If [Z, {N: 0x10}, !Ref AWS::NoValue]
            E: !Sub
              - "${Y}"
              - Y: !Ref X
            F: "007"
            G: 2012-10-17
            H: yes
            I: true
            J: |
              two
              lines
            "#,
        );
        assert_eq!(
            template.unwrap().0,
            json!({
                "A": {"Fn::GetAtt": ["X", "Arn"]},
                "B": {"Fn::GetAtt": ["X", "Stream.Arn"]},
                "C": [{"Ref": "X"}, {"Fn::Sub": "${X}-y"}, {"Fn::Not": [{"Condition": "Z"}]}],
                "D": {"Fn::If": ["Z", {"N": 16}, {"Ref": "AWS::NoValue"}]},
                "E": {"Fn::Sub": ["${Y}", {"Y": {"Ref": "X"}}]},
                "F": "007",
                "G": "2012-10-17",
                "H": "yes",
                "I": true,
                "J": "two\nlines\n",
            })
        );
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for yaml in ["A: [", "1: a", "A: 1\n---\nB: 2", "A: .nan"] {
            assert!(Template::read(yaml).is_err(), "{yaml}");
        }
    }

    #[test]
    fn a_text_has_its_own_variables_filled_in() {
        let value = json!({"Fn::Sub": [
            "${A}-x,${A}-y,${AWS::Region}",
            {"A": {"Fn::Sub": "role/${AWS::StackName}"}},
        ]});
        assert_eq!(
            text(&value).unwrap(),
            "role/${AWS::StackName}-x,role/${AWS::StackName}-y,${AWS::Region}"
        );
        assert_eq!(text(&json!({"Ref": "X"})), None);
    }

    #[test]
    fn what_is_deployed_has_its_references_filled_in() {
        let given = |name: &str| (name != "Unknown").then(|| name.to_lowercase());
        let value = json!({
            "a": [{"Ref": "Mode"}, 1, {"Fn::Sub": "${AWS::StackName}-x-${Mode}"}],
            "b": {"Fn::If": ["C", {"Fn::GetAtt": ["Queue", "Arn"]}, "none"]},
            "c": {"Fn::Sub": ["${Y}${Y}${Z}", {"Y": {"Fn::Sub": "${Mode}."}}]},
        });
        assert_eq!(
            filled(&value, &given),
            Ok(
                json!({"a": ["mode", 1, "aws::stackname-x-mode"], "b": "queue.arn", "c": "mode.mode.z"})
            )
        );
        for unknown in ["${Unknown}", "${Mode}${Unknown}"] {
            let text = json!([{"Fn::Sub": unknown}]);
            assert_eq!(filled(&text, &given), Err("Unknown".to_owned()));
        }
        let joined = json!({"Fn::Join": ["-", {"Fn::Split": [",", "a,b"]}]});
        assert_eq!(filled(&joined, &given), Ok(json!("a-b")));
        let select = json!({"Fn::Select": [0, []]});
        assert_eq!(filled(&select, &given), Err("Fn::Select".to_owned()));
    }

    #[test]
    fn statements_are_found_on_both_sides_of_a_condition() {
        let allow = |action: &str| json!({"Effect": "Allow", "Action": action});
        let document = json!({"Statement": [
            allow("a:A"),
            {"Fn::If": ["C", allow("b:B"), {"Ref": "AWS::NoValue"}]},
            {"Effect": "Deny", "Action": "c:C"},
        ]});
        let actions: Vec<_> = Statement::of(&document)
            .flat_map(Statement::actions)
            .collect();
        assert_eq!(actions, ["a:A", "b:B"]);
    }

    #[test]
    fn patterns_match_as_in_iam() {
        for (pattern, like) in [
            ("lambda:InvokeFunction", true),
            ("Lambda:invoke*", true),
            ("*", true),
            ("lambda:*Function", true),
            ("lambda:InvokeFunctio?", true),
            ("lambda:Invoke", false),
            ("lambda:Invoke?", false),
            ("iam:*", false),
        ] {
            assert_eq!(is_like("lambda:InvokeFunction", pattern), like, "{pattern}");
        }
    }

    #[test]
    fn a_reference_names_its_resource() {
        let template = Template(json!({"Resources": {"X": {"Type": "T"}}}));
        let id = |value: Value| template.referred(&value).map(|resource| resource.id);
        assert_eq!(id(json!({"Ref": "X"})), Some("X"));
        assert_eq!(id(json!({"Fn::GetAtt": ["X", "Arn"]})), Some("X"));
        assert_eq!(id(json!({"Fn::Sub": "${X.Arn}"})), Some("X"));
        assert_eq!(id(json!({"Fn::Sub": "${X.Arn}:*"})), None);
        assert_eq!(id(json!({"Fn::GetAtt": ["X", "Name"]})), None);
        assert_eq!(id(json!({"Ref": "Y"})), None);
        assert_eq!(id(json!("*")), None);
    }
}
