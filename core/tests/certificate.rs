//! Certificates written byte by byte, right ones and wrong ones.

#[cfg(test)]
mod tests {
    use epode::certificate::{CertificateError, ClientCertificate, MAX_CERTIFICATE_OCTETS, XmppAddress};
    use epode::jid::{BareJid, Jid, JidError};
    use proptest::prelude::*;

    const UTF8_STRING: u8 = 0x0c;
    const PRINTABLE_STRING: u8 = 0x13;
    const IA5_STRING: u8 = 0x16;
    const XMPP_ADDR: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 5];
    const OTHER_NAME: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 20, 2, 3];
    const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
    const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
    const ANY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0];

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let mut out = vec![tag];
        match content.len() {
            short @ 0..0x80 => out.push(u8::try_from(short).unwrap()),
            long => {
                let octets: Vec<u8> = long.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
                out.push(0x80 | u8::try_from(octets.len()).unwrap());
                out.extend(octets);
            }
        }
        out.extend(content);
        out
    }

    fn sequence(parts: &[&[u8]]) -> Vec<u8> {
        tlv(0x30, parts)
    }

    fn oid(oid: &[u8]) -> Vec<u8> {
        tlv(6, &[oid])
    }

    fn name(common_name: &str) -> Vec<u8> {
        let value = tlv(UTF8_STRING, &[common_name.as_bytes()]);
        sequence(&[&tlv(0x31, &[&sequence(&[&oid(&[0x55, 4, 3]), &value])])])
    }

    fn extension(id: u8, value: &[u8]) -> Vec<u8> {
        sequence(&[&oid(&[0x55, 0x1d, id]), &tlv(4, &[value])])
    }

    /// otherName [0] { type-id, value [0] EXPLICIT }
    fn other_name(id: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
        tlv(0xa0, &[&oid(id), &tlv(0xa0, &[&tlv(tag, &[text])])])
    }

    fn xmpp(text: &str) -> Vec<u8> {
        other_name(XMPP_ADDR, UTF8_STRING, text.as_bytes())
    }

    fn alternative_names(names: &[Vec<u8>]) -> Vec<u8> {
        extension(0x11, &sequence(&[&names.concat()]))
    }

    fn usages(usages: &[&[u8]]) -> Vec<u8> {
        let usages: Vec<u8> = usages.iter().flat_map(|usage| oid(usage)).collect();
        extension(0x25, &sequence(&[&usages]))
    }

    fn certificate_of(subject: &str, issuer: &str, extensions: &[Vec<u8>]) -> Vec<u8> {
        let ed25519 = sequence(&[&oid(&[0x2b, 0x65, 0x70])]);
        let validity = sequence(&[&tlv(0x17, &[b"250101000000Z"]), &tlv(0x18, &[b"20600101000000Z"])]);
        let key = sequence(&[&ed25519, &tlv(3, &[&[0], &[7; 32]])]);
        let mut to_be_signed = [
            tlv(0xa0, &[&tlv(2, &[&[2]])]),
            tlv(2, &[&[42]]),
            ed25519.clone(),
            name(issuer),
            validity,
            name(subject),
            key,
        ]
        .concat();
        if !extensions.is_empty() {
            to_be_signed.extend(tlv(0xa3, &[&sequence(&[&extensions.concat()])]));
        }
        sequence(&[&sequence(&[&to_be_signed]), &ed25519, &tlv(3, &[&[0], &[9; 64]])])
    }

    fn certificate(extensions: &[Vec<u8>]) -> Vec<u8> {
        certificate_of("Juliet", "Authority", extensions)
    }

    fn addresses(names: &[Vec<u8>]) -> Vec<XmppAddress> {
        ClientCertificate::from_der(&certificate(&[alternative_names(names)]))
            .unwrap()
            .xmpp_addresses()
            .to_vec()
    }

    fn bare(text: &str) -> BareJid {
        BareJid::parse(text).unwrap()
    }

    #[test]
    fn a_certificate_tells_whose_it_is() {
        let der = certificate(&[alternative_names(&[xmpp("juliet@example.com")]), usages(&[CLIENT_AUTH])]);
        let certificate = ClientCertificate::from_der(&der).unwrap();
        assert_eq!(
            certificate.xmpp_addresses(),
            [XmppAddress::Valid(bare("juliet@example.com"))]
        );
        assert_eq!(certificate.subject(), "CN=Juliet");
        assert!(!certificate.is_self_issued());
        // 2025-01-01 and 2060-01-01, midnight UTC.
        assert_eq!(certificate.validity(), (1_735_689_600, 2_840_140_800));
        assert_eq!(certificate.has_client_auth(), Some(true));
    }

    #[test]
    fn a_certificate_without_extensions_names_nobody() {
        let certificate = ClientCertificate::from_der(&certificate_of("Me", "Me", &[])).unwrap();
        assert_eq!(certificate.xmpp_addresses(), []);
        assert_eq!(certificate.has_client_auth(), None);
        assert!(certificate.is_self_issued());
    }

    #[test]
    fn the_usage_is_for_clients_or_not() {
        for (list, expected) in [
            (&[CLIENT_AUTH][..], true),
            (&[SERVER_AUTH, CLIENT_AUTH], true),
            (&[ANY_USAGE], true),
            (&[SERVER_AUTH], false),
        ] {
            let certificate = ClientCertificate::from_der(&certificate(&[usages(list)])).unwrap();
            assert_eq!(certificate.has_client_auth(), Some(expected), "{list:?}");
        }
    }

    #[test]
    fn several_addresses_stand_in_their_order() {
        let dns = tlv(0x82, &[b"example.com"]);
        let upn = other_name(OTHER_NAME, UTF8_STRING, b"juliet@example.org");
        // x400Address, which few libraries know: it must not hide the others.
        let x400 = tlv(0xa3, &[&sequence(&[])]);
        assert_eq!(
            addresses(&[dns, xmpp("B@example.com"), upn, x400, xmpp("a@example.com")]),
            [
                XmppAddress::Valid(bare("b@example.com")),
                XmppAddress::Valid(bare("a@example.com"))
            ]
        );
    }

    #[test]
    fn an_address_that_is_not_as_it_should_be_is_told() {
        let text = "juliet@example.com";
        let wrong_type = |text: &str, address| XmppAddress::WrongStringType {
            text: text.into(),
            address,
        };
        for (name, expected, compared) in [
            (
                xmpp("juliet@example.com/balcony"),
                XmppAddress::WithResource(Jid::parse("juliet@example.com/balcony").unwrap()),
                true,
            ),
            (
                other_name(XMPP_ADDR, IA5_STRING, text.as_bytes()),
                wrong_type(text, Some(bare(text))),
                true,
            ),
            (
                other_name(XMPP_ADDR, PRINTABLE_STRING, b"example.com"),
                wrong_type("example.com", Some(bare("example.com"))),
                true,
            ),
            (
                other_name(XMPP_ADDR, IA5_STRING, b"a b@c"),
                wrong_type("a b@c", None),
                false,
            ),
            (
                xmpp("juliet@"),
                XmppAddress::NotAJid {
                    text: "juliet@".into(),
                    error: jid_error("juliet@"),
                },
                false,
            ),
            (
                xmpp(""),
                XmppAddress::NotAJid {
                    text: String::new(),
                    error: JidError::Empty,
                },
                false,
            ),
            // A NUL would end the text for a server written in C.
            (
                xmpp("juliet@example.com\0.example.net"),
                XmppAddress::NotAJid {
                    text: "juliet@example.com\0.example.net".into(),
                    error: jid_error("juliet@example.com\0.example.net"),
                },
                false,
            ),
            (
                other_name(XMPP_ADDR, UTF8_STRING, b"\xff@example.com"),
                XmppAddress::NotText,
                false,
            ),
            (
                other_name(XMPP_ADDR, IA5_STRING, b"\xff@example.com"),
                XmppAddress::NotText,
                false,
            ),
            (other_name(XMPP_ADDR, 4, text.as_bytes()), XmppAddress::NotText, false),
            (other_name(XMPP_ADDR, 2, &[1]), XmppAddress::NotText, false),
            (
                tlv(0xa0, &[&oid(XMPP_ADDR), &tlv(0xa0, &[])]),
                XmppAddress::NotText,
                false,
            ),
            // RFC 5280 §4.2.1.6: one value.
            (
                tlv(
                    0xa0,
                    &[
                        &oid(XMPP_ADDR),
                        &tlv(0xa0, &[&tlv(UTF8_STRING, &[b"a@b"]), &tlv(UTF8_STRING, &[b"c@d"])]),
                    ],
                ),
                XmppAddress::NotText,
                false,
            ),
        ] {
            assert_eq!(expected.bare().is_some(), compared, "{expected:?}");
            assert_eq!(addresses(&[name]), [expected]);
        }
    }

    fn jid_error(text: &str) -> JidError {
        Jid::parse(text).unwrap_err()
    }

    #[test]
    fn a_malformed_list_is_an_error() {
        let no_value = tlv(0xa0, &[&oid(XMPP_ADDR)]);
        let two_values = tlv(
            0xa0,
            &[
                &oid(XMPP_ADDR),
                &tlv(0xa0, &[&tlv(12, &[b"a@b"])]),
                &tlv(0xa0, &[&tlv(12, &[b"c@d"])]),
            ],
        );
        for names in [no_value, two_values, tlv(0xa0, &[]), vec![0xa0, 5]] {
            let der = certificate(&[alternative_names(&[names])]);
            assert_eq!(ClientCertificate::from_der(&der), Err(CertificateError::SubjectAltName));
        }
        let der = certificate(&[extension(0x25, b"x")]);
        assert_eq!(
            ClientCertificate::from_der(&der),
            Err(CertificateError::ExtendedKeyUsage)
        );
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        let der = certificate(&[]);
        for bytes in [
            &b""[..],
            b"-----BEGIN CERTIFICATE-----",
            &der[..der.len() - 1],
            &[&der[..], b"\0"].concat(),
        ] {
            assert_eq!(
                ClientCertificate::from_der(bytes),
                Err(CertificateError::NotACertificate)
            );
        }
        let octets = MAX_CERTIFICATE_OCTETS + 1;
        assert_eq!(
            ClientCertificate::from_der(&vec![0x30; octets]),
            Err(CertificateError::TooLarge { octets })
        );
        assert!(ClientCertificate::from_der(&vec![0x30; MAX_CERTIFICATE_OCTETS]).is_err());
    }

    #[test]
    fn a_large_certificate_is_read() {
        let names: Vec<Vec<u8>> = (0..1000).map(|n| xmpp(&format!("u{n}@example.com"))).collect();
        assert_eq!(addresses(&names).len(), 1000);
    }

    #[test]
    fn a_subject_cannot_draw_on_the_screen() {
        let der = certificate_of("a\r\n\u{1b}[2Jb\u{9b}c", "Authority", &[]);
        let certificate = ClientCertificate::from_der(&der).unwrap();
        assert!(
            !certificate.subject().contains(char::is_control),
            "{:?}",
            certificate.subject()
        );
        assert!(certificate.subject().starts_with("CN=a"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in proptest::option::weighted(0.1, any::<prop::sample::Index>()),
        ) {
            let names = [xmpp("juliet@example.com/x"), other_name(XMPP_ADDR, IA5_STRING, b"a@b"), tlv(0x82, &[b"b"])];
            let mut der = certificate(&[alternative_names(&names), usages(&[CLIENT_AUTH])]);
            for (index, value) in changes {
                let index = index.index(der.len());
                der[index] = value;
            }
            if let Some(cut) = cut {
                der.truncate(cut.index(der.len()));
            }
            if let Ok(certificate) = ClientCertificate::from_der(&der) {
                prop_assert!(!certificate.subject().contains(char::is_control));
                for address in certificate.xmpp_addresses() {
                    if let Some(bare) = address.bare() {
                        prop_assert_eq!(BareJid::parse(bare.as_str()), Ok(bare));
                    }
                }
            }
        }

        #[test]
        fn no_noise_makes_it_panic(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ClientCertificate::from_der(&noise);
            let _ = ClientCertificate::from_der(&certificate(&[extension(0x11, &noise), extension(0x25, &noise)]));
        }
    }
}
