//! Addresses against the tables of RFC 7622 and our own, and against anything at all.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use epode::jid::{BareJid, Jid, JidError, JidPart};
    use proptest::prelude::*;
    use serde_json::Value;

    fn vectors(table: &str) -> Vec<Value> {
        let all: Value = serde_json::from_str(include_str!("../../tests/vectors/jid.json")).unwrap();
        let rows = all[table].as_array().unwrap().clone();
        assert!(!rows.is_empty(), "{table}");
        rows
    }

    fn text<'a>(row: &'a Value, field: &str) -> &'a str {
        row[field].as_str().unwrap()
    }

    #[test]
    fn a_valid_address_is_prepared() {
        let mut wrong = Vec::new();
        for row in vectors("valid") {
            match Jid::parse(text(&row, "in")) {
                Ok(jid) if jid.as_str() == text(&row, "out") => {
                    assert_eq!(Jid::parse(jid.as_str()), Ok(jid.clone()), "{row}");
                    assert!(!jid.is_opaque(), "{row}");
                    if let Some(parts) = row["parts"].as_array() {
                        assert_eq!(jid.local(), parts[0].as_str(), "{row}");
                        assert_eq!(jid.domain(), parts[1], "{row}");
                        assert_eq!(jid.resource(), parts[2].as_str(), "{row}");
                    }
                }
                other => wrong.push(format!("{row}: {other:?}")),
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn an_invalid_address_is_refused_with_a_reason() {
        let mut wrong = Vec::new();
        for row in vectors("invalid") {
            match Jid::parse(text(&row, "in")) {
                Err(error) if error.to_string() == text(&row, "error") => {}
                Err(error) => wrong.push(format!("{row}: {error}")),
                Ok(jid) => wrong.push(format!("{row}: {jid:?}")),
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn a_part_has_at_most_1023_octets() {
        for row in vectors("lengths") {
            let long = text(&row, "repeat").repeat(usize::try_from(row["times"].as_u64().unwrap()).unwrap());
            let (part, address) = match text(&row, "part") {
                "local" => (JidPart::Local, format!("{long}@example.com")),
                "resource" => (JidPart::Resource, format!("example.com/{long}")),
                other => panic!("{other}"),
            };
            let octets = usize::try_from(row["octets"].as_u64().unwrap()).unwrap();
            let got = Jid::parse(&address);
            if row["valid"] == true {
                let jid = got.unwrap();
                let prepared = if part == JidPart::Local {
                    jid.local()
                } else {
                    jid.resource()
                };
                assert_eq!(prepared.unwrap().len(), octets, "{row}");
            } else {
                assert_eq!(got, Err(JidError::TooLong { part, octets }), "{row}");
            }
        }
    }

    #[test]
    fn different_addresses_stay_different() {
        for row in vectors("distinct") {
            let (one, two) = (
                Jid::parse(row[0].as_str().unwrap()),
                Jid::parse(row[1].as_str().unwrap()),
            );
            assert!(one.is_ok() && two.is_ok(), "{row}");
            assert_ne!(one, two, "{row}");
        }
    }

    #[test]
    fn dns_gets_a_labels() {
        for row in vectors("dns") {
            let domain = row[0].as_str().unwrap();
            assert_eq!(BareJid::parse(domain).unwrap().domain_for_dns(), row[1], "{row}");
            assert_eq!(
                Jid::parse(&format!("x@{domain}/y")).unwrap().domain_for_dns(),
                row[1],
                "{row}"
            );
        }
        assert_eq!(
            BareJid::from_server("exa_mple.com").unwrap().domain_for_dns(),
            "exa_mple.com"
        );
    }

    #[test]
    fn a_label_of_a_domain_has_at_most_63_octets() {
        assert!(Jid::parse(&format!("{}.example", "a".repeat(63))).is_ok());
        assert_eq!(
            Jid::parse(&format!("{}.example", "a".repeat(64))),
            Err(JidError::NotADomainName)
        );
        assert_eq!(
            Jid::parse(&format!("{}example", "abcdefg.".repeat(40))),
            Err(JidError::NotADomainName)
        );
    }

    #[test]
    fn an_address_from_the_server_is_kept() {
        for row in vectors("from_server") {
            let got = Jid::from_server(text(&row, "in"));
            assert_eq!(got.is_ok(), row["valid"] == true, "{row}: {got:?}");
            let Ok(jid) = got else { continue };
            assert_eq!(jid.is_opaque(), row["opaque"] == true, "{row}");
            if jid.is_opaque() {
                assert_eq!(jid.as_str(), text(&row, "in"), "{row}");
            }
            assert_eq!(Jid::from_server(jid.as_str()), Ok(jid.clone()), "{row}");
        }
        // Compared as octets: no case mapping where our tables do not know what the case would be.
        assert_ne!(
            Jid::from_server("H\u{2163}@example.com"),
            Jid::from_server("h\u{2163}@example.com")
        );
        // The other parts are prepared all the same.
        let jid = Jid::from_server("h\u{2163}@EXAMPLE.com/x").unwrap();
        assert_eq!(jid.bare(), "h\u{2163}@example.com");
        assert!(jid.to_bare().is_opaque());
        assert!(jid.with_resource("y").unwrap().is_opaque());
        assert!(
            !Jid::from_server("a@example.com/\u{fe0f}")
                .unwrap()
                .to_bare()
                .is_opaque()
        );
        let long = "\u{265a}".repeat(341);
        assert!(Jid::from_server(&format!("{long}@example.com")).is_ok());
        assert!(Jid::from_server(&format!("{long}a@example.com")).is_err());
    }

    #[test]
    fn a_bare_address_has_no_resource() {
        assert_eq!(BareJid::parse("a@b/c"), Err(JidError::UnexpectedResource));
        assert_eq!(BareJid::from_server("a@b/c"), Err(JidError::UnexpectedResource));
        let bare: BareJid = "A@B".parse().unwrap();
        assert_eq!((bare.local(), bare.domain(), bare.as_str()), (Some("a"), "b", "a@b"));
        let full = bare.with_resource("C").unwrap();
        assert_eq!(full, Jid::parse("a@b/C").unwrap());
        assert!(full.is_full());
        assert_eq!(full.to_bare(), bare);
        assert_eq!(full.with_resource("D").unwrap().to_string(), "a@b/D");
        assert!(!Jid::from(bare.clone()).is_full());
        assert_eq!(Jid::from(bare.clone()), Jid::parse("a@b").unwrap());
        assert_eq!(
            bare.with_resource(""),
            Err(JidError::EmptyPart {
                part: JidPart::Resource
            })
        );
        assert_eq!(format!("{full:?} {bare:?}"), r#"Jid("a@b/C") BareJid("a@b")"#);
        assert_eq!(BTreeSet::from([full.clone(), full]).len(), 1);
        assert_eq!(BareJid::parse("example.com").unwrap().local(), None);
    }

    #[cfg(feature = "record")]
    #[test]
    fn a_record_holds_the_text() {
        for address in ["juliet@example.com/Balcony", "henry\u{2163}@exa_mple.com/\u{fe0f}"] {
            let jid = Jid::from_server(address).unwrap();
            let json = serde_json::to_string(&jid).unwrap();
            assert_eq!(json, format!("\"{address}\""));
            assert_eq!(serde_json::from_str::<Jid>(&json).unwrap(), jid);
            // With an escape, which no borrowed string can hold.
            assert_eq!(
                serde_json::from_str::<BareJid>(r#""\u0061@b""#).unwrap(),
                BareJid::parse("a@b").unwrap()
            );
        }
        assert!(serde_json::from_str::<BareJid>(r#""a@b/c""#).is_err());
    }

    // What is likely to make a difference: separators, marks, cases, widths, directions, newer and unassigned characters.
    fn odd_text() -> impl Strategy<Value = String> {
        let odd = "aB1 @/.-_:[]\u{0}\u{7f}\u{e9}\u{301}\u{130}\u{3c2}\u{3a3}\u{212b}\u{ff21}\u{ff20}\u{ff0e}\u{3002}\u{2024}\
                   \u{627}\u{661}\u{5d0}\u{200d}\u{200b}\u{94d}\u{915}\u{b7}l\u{375}\u{1f600}\u{1f923}\u{1e900}\u{13a0}\u{ab70}\
                   \u{1e9e}\u{df}\u{37e}\u{1fef}\u{1100}\u{1161}\u{11a8}\u{345}\u{3b1}\u{1f80}\u{10ffff}\u{fffe}";
        let odd: Vec<char> = odd.chars().collect();
        prop_oneof![
            proptest::collection::vec(proptest::sample::select(odd), 0..12).prop_map(String::from_iter),
            any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_valid_for_good(local in odd_text(), domain in odd_text(), resource in odd_text()) {
            for text in [format!("{local}@{domain}/{resource}"), format!("{local}@example.com/{resource}"), domain.clone()] {
                if let Ok(jid) = Jid::parse(&text) {
                    prop_assert_eq!(Jid::parse(jid.as_str()), Ok(jid.clone()), "{:?}", text);
                    prop_assert_eq!(Jid::from_server(&text), Ok(jid.clone()));
                    let mut parts = String::new();
                    if let Some(local) = jid.local() {
                        prop_assert!((1..=1023).contains(&local.len()));
                        parts += &format!("{local}@");
                    }
                    parts += jid.domain();
                    prop_assert_eq!(&parts, jid.bare());
                    if let Some(resource) = jid.resource() {
                        parts += &format!("/{resource}");
                    }
                    prop_assert_eq!(&parts, jid.as_str());
                    prop_assert!(jid.domain_for_dns().is_ascii());
                }
            }
        }

        #[test]
        fn what_a_server_gives_is_kept_or_refused(text in odd_text()) {
            if let Ok(jid) = Jid::from_server(&text) {
                prop_assert_eq!(Jid::from_server(jid.as_str()), Ok(jid.clone()), "{:?}", text);
                prop_assert_eq!(jid.is_opaque(), Jid::parse(&text).is_err());
                prop_assert_eq!(jid.to_bare().to_string(), jid.bare());
                prop_assert_eq!(BareJid::from_server(jid.bare()), Ok(jid.to_bare()));
            }
        }
    }
}
