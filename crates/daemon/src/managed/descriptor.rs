//! What a deployment descriptor (`WEB-INF/web.xml`) says about servlets, so that they can be refused by name.

use quick_xml::Reader;
use quick_xml::events::Event;

/// Servlets that are remembered; further ones are refused as what is not there.
const MAX_SERVLETS: usize = 1000;
/// Longest name and pattern that is kept.
const MAX_TEXT: usize = 200;

/// URL patterns and the names of the servlets behind them. What cannot be read ends it: nothing of it is run anyway.
pub(super) fn servlets(text: &str) -> Vec<(String, String)> {
    let mut reader = Reader::from_str(text);
    let (mut servlets, mut patterns) = (Vec::new(), Vec::new());
    let (mut name, mut value) = (String::new(), String::new());
    let mut inside = false;
    while servlets.len() + patterns.len() < MAX_SERVLETS {
        match reader.read_event() {
            Ok(Event::Start(tag)) => {
                inside |= tag.local_name().as_ref() == "servlet-mapping";
                value.clear();
            }
            Ok(Event::Text(text)) => value.push_str(text.trim()),
            Ok(Event::End(tag)) if inside => match tag.local_name().as_ref() {
                "servlet-name" => name = clean(&value),
                "url-pattern" => patterns.push(clean(&value)),
                "servlet-mapping" => {
                    servlets.extend(patterns.drain(..).map(|pattern| (pattern, name.clone())));
                    inside = false;
                }
                _ => {}
            },
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => {}
        }
    }
    servlets.retain(|(pattern, name)| {
        !name.is_empty() && (pattern.starts_with('/') || pattern.starts_with("*."))
    });
    servlets
}

/// Names go into answers: nothing but what is printable.
fn clean(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::servlets;

    #[test]
    fn mappings_are_found() {
        let text = r#"<?xml version="1.0"?><!DOCTYPE web-app><web-app xmlns="urn:x">
            <servlet><servlet-name>Login</servlet-name><servlet-class>a.B</servlet-class></servlet>
            <servlet-mapping><servlet-name>Login</servlet-name><url-pattern>/login</url-pattern>
                <url-pattern> /login/* </url-pattern></servlet-mapping>
            <filter-mapping><url-pattern>/*</url-pattern></filter-mapping>
            <servlet-mapping><url-pattern>*.do</url-pattern><servlet-name>Act&lt;ion</servlet-name></servlet-mapping>
            <servlet-mapping><url-pattern>nonsense</url-pattern><servlet-name>X</servlet-name></servlet-mapping>
        </web-app>"#;
        let found = servlets(text);
        let found: Vec<(&str, &str)> =
            found.iter().map(|(pattern, name)| (pattern.as_str(), name.as_str())).collect();
        assert_eq!(found, [("/login", "Login"), ("/login/*", "Login"), ("*.do", "Action")]);
    }

    #[test]
    fn nonsense_has_no_servlets() {
        for text in ["", "<", "no xml", "<servlet-mapping><url-pattern>/x</url-pattern>", "<a></b>"] {
            assert_eq!(servlets(text), []);
        }
    }
}
