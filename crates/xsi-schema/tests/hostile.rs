//! What comes from a socket: nothing panics, everything is bounded, everything has its error.

use openadp_xsi_schema::*;
use proptest::prelude::*;

fn limits() -> ReadLimits {
    ReadLimits::default()
}

fn xml(text: &str) -> Result<Element, ReadError> {
    read_xml(text.as_bytes(), &limits())
}

#[test]
fn document_types_and_entities() {
    let bomb = concat!(
        "<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">",
        "<!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">]><lolz>&c;</lolz>"
    );
    assert_eq!(xml(bomb), Err(ReadError::DoctypeForbidden));
    assert_eq!(xml("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>"), Err(ReadError::DoctypeForbidden));
    assert_eq!(xml("<a>&c;</a>"), Err(ReadError::UnknownEntity));
    assert_eq!(xml("<a b='&c;'/>"), Err(ReadError::UnknownEntity));
    assert_eq!(xml("<a>&amp;&lt;&gt;&quot;&apos;&#65;&#x42;</a>").expect("reads").raw_text(), "&<>\"'AB");
    for reference in [
        "&#0;",
        "&#x0;",
        "&#xD800;",
        "&#99999999;",
        "&#-1;",
        "&#+1;",
        "&#;",
        "&#x;",
        "&#xFFFE;",
        "&#1114112;",
    ] {
        assert_eq!(xml(&format!("<a>{reference}</a>")), Err(ReadError::InvalidReference), "{reference}");
        assert_eq!(xml(&format!("<a b=\"{reference}\"/>")), Err(ReadError::InvalidReference), "{reference}");
    }
    assert!(xml("<a>&#00000000000000000000000065;</a>").is_err(), "bounded digits");
}

#[test]
fn bounds() {
    let deep = "<a>".repeat(100_000);
    assert_eq!(xml(&deep), Err(ReadError::TooDeep { limit: 32 }));
    let just = format!("{}{}", "<a>".repeat(32), "</a>".repeat(32));
    assert!(xml(&just).is_ok());
    let deep_json = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    assert_eq!(read_json(deep_json.as_bytes(), &limits()), Err(ReadError::TooDeep { limit: 32 }));
    assert_eq!(read_json("[".repeat(100_000).as_bytes(), &limits()), Err(ReadError::TooDeep { limit: 32 }));

    let attributes = (0..100_000).fold(String::new(), |all, n| all + &format!(" a{n}=''"));
    assert_eq!(
        xml(&format!("<a{}/>", &attributes[..900_000])),
        Err(ReadError::TooManyAttributes { limit: 32 })
    );
    assert_eq!(
        xml(&format!("<a>{}</a>", "<b/>".repeat(30_000))),
        Err(ReadError::TooManyElements { limit: 20_000 })
    );
    assert_eq!(xml(&format!("<a>{}</a>", "x".repeat(70_000))), Err(ReadError::TextTooLong { limit: 65_536 }));
    assert_eq!(
        xml(&format!("<a>{}</a>", "&amp;".repeat(70_000))),
        Err(ReadError::TextTooLong { limit: 65_536 })
    );
    assert_eq!(
        xml(&format!("<a b='{}'/>", "x".repeat(70_000))),
        Err(ReadError::TextTooLong { limit: 65_536 })
    );
    assert_eq!(xml(&" ".repeat(1024 * 1024 + 1)), Err(ReadError::TooLarge { limit: 1024 * 1024 }));
    let items = format!("{{\"a\":{{\"b\":[{}1]}}}}", "1,".repeat(50_000));
    assert_eq!(read_json(items.as_bytes(), &limits()), Err(ReadError::TooManyElements { limit: 20_000 }));
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(read_json(long.as_bytes(), &limits()), Err(ReadError::TextTooLong { limit: 65_536 }));
    assert!(xml(&deep).is_err_and(|error| error.is_limit()));
}

#[test]
fn ill_formed() {
    let malformed = [
        "<a></b>",
        "</a>",
        "<a b=c/>",
        "<a b='1' b='2'/>",
        "<a b='<'/>",
        "<a b='&'/>",
        "<a b/>",
        "x<a/>",
        "<a>]]></a>",
        "<a/><?xml version='1.0'?>",
        "&amp;<a/>",
        "<a><?xml version='1.0'?></a>",
        "<a><!-- -- --></a>",
        "<a b=''c=''/ >",
        "<a b='",
    ];
    for text in malformed {
        let error = xml(text).expect_err(text);
        assert!(
            matches!(
                error,
                ReadError::Malformed { .. }
                    | ReadError::Incomplete
                    | ReadError::TrailingContent
                    | ReadError::InvalidName
            ),
            "{text}: {error:?}"
        );
    }
    for text in ["<a>", "<a", "<a><!-- ", "<a><![CDATA[", "<a>x"] {
        assert_eq!(xml(text), Err(ReadError::Incomplete), "{text}");
    }
    for text in ["<a/>x", "<a/><b/>", "<a/>&amp;", "<a/><![CDATA[]]>"] {
        assert_eq!(xml(text), Err(ReadError::TrailingContent), "{text}");
    }
    for text in ["<1/>", "<a:b:c/>", "<:a/>", "<a$/>", "<a 1='x'/>", "<a><b\u{B7}\u{37E}/></a>"] {
        assert_eq!(xml(text), Err(ReadError::InvalidName), "{text}");
    }
    assert_eq!(xml(""), Err(ReadError::Empty));
    assert_eq!(xml(" <!-- only a comment --> "), Err(ReadError::Empty));
    assert_eq!(xml("<a>\u{1}</a>"), Err(ReadError::InvalidCharacter));
    assert_eq!(read_xml(b"<a>\xFF</a>", &limits()), Err(ReadError::InvalidEncoding { encoding: "UTF-8" }));
    assert!(xml("<a/> <!-- and --> <?pi?>\n").is_ok());
}

#[test]
fn odd_json() {
    let refused: [(&str, ReadError); 10] = [
        ("{}", ReadError::NotADocument { reason: "the top level does not have exactly one member" }),
        (
            "{\"a\":1,\"b\":2}",
            ReadError::NotADocument { reason: "the top level does not have exactly one member" },
        ),
        ("{\"a\":[1]}", ReadError::NotADocument { reason: "the root is an array" }),
        ("[1]", ReadError::NotADocument { reason: "the top level is not an object" }),
        ("{\"a\":{\"b\":[[1]]}}", ReadError::NotADocument { reason: "an array in an array" }),
        ("{\"a\":{\"b\":1,\"b\":2}}", ReadError::DuplicateKey),
        ("{\"a\":{\"<b>\":1}}", ReadError::InvalidName),
        ("{\"a\":\"\\u0001\"}", ReadError::InvalidCharacter),
        ("{\"a\":1}x", ReadError::TrailingContent),
        ("{\"a\":", ReadError::Incomplete),
    ];
    for (text, expected) in refused {
        assert_eq!(read_json(text.as_bytes(), &limits()), Err(expected), "{text}");
    }
    assert!(matches!(read_json(b"{\"a\":\"\\ud800\"}", &limits()), Err(ReadError::Malformed { .. })));
    assert!(matches!(read_json(b"{'a':1}", &limits()), Err(ReadError::Malformed { .. })));
    let lenient = read_json(br#"{"xsi:a":{"@xmlns:xsi":"u","@n":5,"b":[true,{"$":1.5},null]}}"#, &limits())
        .expect("reads");
    assert_eq!(lenient.name, "a");
    assert_eq!(lenient.attribute("n"), Some("5"));
    let texts: Vec<_> = lenient.all("b").map(Element::raw_text).collect();
    assert_eq!(texts, ["true", "1.5", ""]);
    assert!(lenient.children().last().is_some_and(Element::is_nil));
}

#[test]
fn errors_do_not_repeat_what_came() {
    for text in [
        "<a>&hunter2;</a>",
        "<hunter2></b>",
        "<a hunter2='1' hunter2='2'/>",
        "{\"a\":{\"hunter2\":1,\"hunter2\":2}}",
        "{hunter2}",
    ] {
        let error = read(text.as_bytes(), &limits()).expect_err(text);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z_é][A-Za-z0-9_.-]{0,8}".prop_filter("declarations are not attributes", |name| name != "xmlns")
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~\n\r\t]{1,20}", "\\PC{1,10}", Just("]]> <![CDATA[ &amp; ".to_owned())]
        .prop_map(|text| text.chars().filter(|c| !matches!(c, '\u{FFFE}' | '\u{FFFF}')).collect::<String>())
        .prop_filter("empty text is no text", |text| !text.is_empty())
}

/// Children of one name side by side: JSON puts them together.
fn tree() -> impl Strategy<Value = Element> {
    let leaf = (name(), prop::option::of(text()), prop::collection::btree_map(name(), text(), 0..3))
        .prop_map(|(name, text, attributes)| {
            let mut element =
                text.map_or_else(|| Element::new(name.clone()), |text| Element::text(name.clone(), text));
            for (name, value) in attributes {
                element = element.with_attribute(name, value);
            }
            element
        });
    leaf.prop_recursive(4, 40, 5, |inner| {
        (name(), prop::collection::btree_map(name(), prop::collection::vec(inner, 1..3), 1..4), any::<bool>())
            .prop_map(|(name, children, typed)| {
                let mut element = Element::new(name);
                for (name, group) in children {
                    for child in group {
                        element.push(child.renamed(name.clone()));
                    }
                }
                if typed { element.with_type("AccessEndpoint") } else { element }
            })
    })
}

proptest! {
    #[test]
    fn xml_comes_back(element in tree(), bare in any::<bool>()) {
        let element = if bare { element.without_namespace() } else { element };
        prop_assert_eq!(read_xml(element.to_xml().as_bytes(), &limits()), Ok(element.clone()));
        for style in [XmlStyle::EVENT, XmlStyle::EVENT_CTI, XmlStyle::PLAIN_CTI] {
            let mut out = String::new();
            element.write_xml(&mut out, style);
            prop_assert!(!out.contains('\n'));
            let read = read_xml(out.as_bytes(), &limits()).expect("reads");
            prop_assert_eq!(read.content, element.content.clone());
        }
    }

    #[test]
    fn json_comes_back(element in tree(), bare in any::<bool>()) {
        let element = if bare { element.without_namespace() } else { element };
        let json = element.to_json();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        prop_assert_eq!(read_json(json.as_bytes(), &limits()), Ok(element));
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _result = read(&bytes, &limits());
        let _result = read_xml(&bytes, &limits());
        let _result = read_json(&bytes, &limits());
    }

    #[test]
    fn nothing_like_xml_panics(text in "(<|>|/|a|b|:|=|'|\"|&|;|#|x|[0-9]|!|-|\\[|\\]|CDATA| |\n|\\?|xml|é){0,60}") {
        if let Ok(element) = xml(&text) {
            prop_assert_eq!(read_xml(element.to_xml().as_bytes(), &limits()).map(|read| read.name), Ok(element.name));
        }
    }

    #[test]
    fn nothing_like_json_panics(text in "(\\{|\\}|\\[|\\]|\"|\\$|@|a|b|:|,|1|null|true|\\\\u0041| ){0,60}") {
        let _result = read_json(text.as_bytes(), &limits());
    }

    #[test]
    fn truncation_never_reads_as_something_else(element in tree(), cut in any::<prop::sample::Index>()) {
        let xml = element.to_xml();
        let at = cut.index(xml.len());
        prop_assert!(read_xml(xml.as_bytes().get(..at).unwrap_or_default(), &limits()).is_err());
    }
}
