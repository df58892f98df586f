use crate::*;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey, PublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use openadp_keystore::{KeyStore, KeyType};
use openadp_settings::MachineKey;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

const NOW: i64 = 1_795_255_200;
const EXPECTED: Expected<'static> = Expected { issuer: "BroadWorks" };

struct Ring {
    store: Arc<KeyStore>,
    _dir: tempfile::TempDir,
}

fn ring() -> Ring {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::open(dir.path(), MachineKey::ephemeral().unwrap()).unwrap();
    Ring { store, _dir: dir }
}

/// One ring for the tests that do not change it: making RSA keys costs time.
static RING: LazyLock<Ring> = LazyLock::new(|| {
    let ring = ring();
    ring.store.active().unwrap();
    ring
});

fn claims() -> Claims {
    Claims::new("BroadWorks", "alice@bw.example", &["pwd"], NOW, 720)
}

fn check(token: &str) -> Result<ValidToken, TokenError> {
    validate(&RING.store, token, NOW + 5, &EXPECTED)
}

/// Signs any header and payload with the ring's key: what a thief of our signing routine, not of our rules, could make.
fn sign(header: &str, payload: &str) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = RING.store.active().unwrap().sign(text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn header() -> Value {
    json!({"alg": "RS256", "kid": RING.store.active().unwrap().kid(), "typ": "bwllt+jwt"})
}

fn payload() -> Value {
    serde_json::to_value(claims()).unwrap()
}

fn with(mut value: Value, name: &str, member: Value) -> String {
    value[name] = member;
    value.to_string()
}

#[test]
fn a_token_says_what_it_should_and_its_holder_can_read_it() {
    let token = issue(&RING.store, &claims()).unwrap();
    let valid = check(&token).unwrap();
    assert_eq!(valid.claims(), &claims_like(valid.claims()));
    assert_eq!((valid.user(), valid.issued_at_millis()), ("alice@bw.example", NOW * 1000));
    // As a known client does: second part, base64, JSON, `sub`.
    let part = token.split('.').nth(1).unwrap();
    let read: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    assert_eq!(read["sub"], "alice@bw.example");
    assert_eq!(read["aud"], json!(["broadworks-xsp"]));
    assert_eq!(read["exp"], NOW + 720 * 3600);
}

fn claims_like(other: &Claims) -> Claims {
    Claims { jti: other.jti.clone(), ..claims() }
}

#[test]
fn an_independent_library_verifies_all_algorithms() {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
    let (es, ps) = (ring(), ring());
    es.store.rotate(KeyType::P256).unwrap();
    ps.store.rotate(KeyType::RsaPss2048).unwrap();
    for (store, algorithm) in
        [(&RING.store, Algorithm::RS256), (&es.store, Algorithm::ES256), (&ps.store, Algorithm::PS256)]
    {
        let token = issue(store, &claims()).unwrap();
        let header = decode_header(&token).unwrap();
        assert_eq!((header.alg, header.typ.as_deref()), (algorithm, Some("bwllt+jwt")));
        let set = serde_json::to_value(store.public_jwks()).unwrap();
        let entry = set["keys"]
            .as_array()
            .unwrap()
            .iter()
            .find(|key| key["kid"] == header.kid.clone().unwrap())
            .unwrap();
        let key = DecodingKey::from_jwk(&serde_json::from_value(entry.clone()).unwrap()).unwrap();
        let mut rules = Validation::new(algorithm);
        rules.set_audience(&["broadworks-xsp"]);
        rules.validate_exp = false;
        assert_eq!(decode::<Claims>(&token, &key, &rules).unwrap().claims.sub, "alice@bw.example");
        assert!(validate(store, &token, NOW, &EXPECTED).is_ok());
    }
}

#[test]
fn a_foreign_library_that_signs_with_our_rules_is_read() {
    assert!(check(&sign(&header().to_string(), &payload().to_string())).is_ok());
    let unknown = with(payload(), "added_later", json!({"x": [1]}));
    assert!(check(&sign(&header().to_string(), &unknown)).is_ok(), "unknown claims are left out");
}

#[test]
fn headers_that_are_refused() {
    let good = payload().to_string();
    let kid = RING.store.active().unwrap().kid().to_owned();
    for name in ["jku", "x5u", "jwk", "x5c", "crit", "zip", "b64", "cty", "anything"] {
        let token = sign(&with(header(), name, json!("x")), &good);
        assert_eq!(check(&token), Err(TokenError::Header), "{name}");
    }
    for (name, value, error) in [
        ("alg", json!("none"), TokenError::Algorithm),
        ("alg", json!("None"), TokenError::Algorithm),
        ("alg", json!("HS256"), TokenError::Algorithm),
        ("alg", json!("ES256"), TokenError::Algorithm),
        ("alg", json!("RS512"), TokenError::Algorithm),
        ("alg", json!("PS256"), TokenError::Algorithm),
        ("alg", json!(["RS256"]), TokenError::Algorithm),
        ("alg", Value::Null, TokenError::Algorithm),
        ("typ", json!("JWT"), TokenError::Kind),
        ("typ", json!("BWLLT+JWT"), TokenError::Kind),
        ("typ", Value::Null, TokenError::Kind),
        ("kid", json!("../../../../etc/passwd"), TokenError::UnknownKey),
        ("kid", json!("' OR 1=1 --"), TokenError::UnknownKey),
        ("kid", json!("A".repeat(43)), TokenError::UnknownKey),
        ("kid", json!(1), TokenError::UnknownKey),
        ("kid", Value::Null, TokenError::UnknownKey),
    ] {
        assert_eq!(check(&sign(&with(header(), name, value.clone()), &good)), Err(error), "{name} {value}");
    }
    let twice = format!(r#"{{"alg":"none","alg":"RS256","kid":"{kid}","typ":"bwllt+jwt"}}"#);
    assert_eq!(check(&sign(&twice, &good)), Err(TokenError::Malformed));
    for text in ["null", "[]", "\"x\"", "{", ""] {
        assert_eq!(check(&sign(text, &good)), Err(TokenError::Malformed), "{text}");
    }
}

#[test]
fn signatures_that_are_refused() {
    let token = issue(&RING.store, &claims()).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    assert_eq!(check(&format!("{signed}.")), Err(TokenError::Signature));
    let none = URL_SAFE_NO_PAD.encode(with(header(), "alg", json!("none")));
    let body = signed.split('.').nth(1).unwrap();
    assert_eq!(check(&format!("{none}.{body}.")), Err(TokenError::Algorithm));
    // RS256 to HS256 with the public key as the secret.
    let jwk = serde_json::to_vec(&RING.store.public_jwks()).unwrap();
    let hs = format!("{}.{body}", URL_SAFE_NO_PAD.encode(with(header(), "alg", json!("HS256"))));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &jwk), hs.as_bytes());
    assert_eq!(check(&format!("{hs}.{}", URL_SAFE_NO_PAD.encode(mac))), Err(TokenError::Algorithm));
    // Another payload under the same signature.
    let other = URL_SAFE_NO_PAD.encode(with(payload(), "sub", json!("bob@bw.example")));
    assert_eq!(
        check(&format!("{}.{other}.{signature}", signed.split('.').next().unwrap())),
        Err(TokenError::Signature)
    );
    // A key of somebody else, named by its own id, then by ours.
    let foreign = ring();
    foreign.store.rotate(KeyType::P256).unwrap();
    let theirs = issue(&foreign.store, &claims()).unwrap();
    assert_eq!(check(&theirs), Err(TokenError::UnknownKey));
    let signature = foreign.store.active().unwrap().sign(signed.as_bytes()).unwrap();
    assert_eq!(check(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))), Err(TokenError::Signature));
}

#[test]
fn forms_that_are_refused() {
    let token = issue(&RING.store, &claims()).unwrap();
    let padded = {
        let parts: Vec<&str> = token.split('.').collect();
        format!("{}=.{}.{}", parts[0], parts[1], parts[2])
    };
    let long = "a".repeat(MAX_TOKEN + 1);
    for bad in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c.d.e",
        "ä.ö.ü",
        &format!("{token}.x"),
        &format!(" {token}"),
        &padded,
        &long,
    ] {
        assert_eq!(check(bad), Err(TokenError::Malformed), "{bad}");
    }
    let deep = with(payload(), "x", json!([[[[[[[[1]]]]]]]]));
    assert_eq!(check(&sign(&header().to_string(), &deep)), Err(TokenError::Malformed));
    let twice = payload().to_string().replacen('{', r#"{"sub":"bob@bw.example","#, 1);
    assert_eq!(check(&sign(&header().to_string(), &twice)), Err(TokenError::Malformed));
}

#[test]
fn claims_that_are_refused() {
    for (name, value, error) in [
        ("kind", json!("device"), TokenError::Kind),
        ("ver", json!(2), TokenError::Kind),
        ("iss", json!("https://idbroker.webex.com/idb"), TokenError::Issuer),
        ("iss", json!("broadworks"), TokenError::Issuer),
        ("aud", json!([]), TokenError::Audience),
        ("aud", json!(["dms"]), TokenError::Audience),
        ("aud", json!("broadworks-xsp"), TokenError::Malformed),
        ("sub", json!(""), TokenError::Malformed),
        ("sub", json!(7), TokenError::Malformed),
        ("exp", json!("1797847200"), TokenError::Malformed),
        ("exp", json!(1.5), TokenError::Malformed),
        ("exp", json!(1e300), TokenError::Malformed),
        ("exp", json!(NOW - 60), TokenError::Expired),
        ("exp", json!(i64::MAX), TokenError::Lifetime),
        ("exp", json!(NOW + 4320 * 3600 + 1), TokenError::Lifetime),
        ("iat", json!(i64::MIN), TokenError::Lifetime),
        ("iat", json!(NOW + 3600), TokenError::NotYet),
        ("nbf", json!(NOW + 3600), TokenError::NotYet),
    ] {
        let token = sign(&header().to_string(), &with(payload(), name, value.clone()));
        assert_eq!(check(&token), Err(error), "{name} {value}");
    }
    for name in ["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "kind", "ver"] {
        let mut without = payload();
        without.as_object_mut().unwrap().remove(name);
        assert_eq!(
            check(&sign(&header().to_string(), &without.to_string())),
            Err(TokenError::Malformed),
            "{name}"
        );
    }
}

#[test]
fn clocks_may_differ_by_a_minute() {
    let token = issue(&RING.store, &claims()).unwrap();
    let at = |seconds| validate(&RING.store, &token, seconds, &EXPECTED).err();
    let end = NOW + 720 * 3600;
    assert_eq!(at(NOW - LEEWAY), None);
    assert_eq!(at(NOW - LEEWAY - 1), Some(TokenError::NotYet));
    assert_eq!(at(end + LEEWAY - 1), None);
    assert_eq!(at(end + LEEWAY), Some(TokenError::Expired));
    assert_eq!(at(i64::MAX), Some(TokenError::Expired));
    assert_eq!(at(i64::MIN), Some(TokenError::NotYet));
}

#[test]
fn rotation_keeps_tokens_and_revocation_voids_them() {
    let ring = ring();
    ring.store.rotate(KeyType::P256).unwrap();
    let token = issue(&ring.store, &claims()).unwrap();
    let kid = ring.store.active().unwrap().kid().to_owned();
    ring.store.rotate(KeyType::P256).unwrap();
    assert!(validate(&ring.store, &token, NOW, &EXPECTED).is_ok());
    ring.store.revoke(&kid).unwrap();
    assert_eq!(validate(&ring.store, &token, NOW, &EXPECTED), Err(TokenError::UnknownKey));
}

#[test]
fn a_token_has_a_bound() {
    let long = Claims { sub: "a".repeat(MAX_TOKEN), ..claims() };
    assert!(matches!(issue(&RING.store, &long), Err(IssueError::TooLong { .. })));
    assert_eq!(Claims::new("i", "u", &[], NOW, 9999).lifetime(), MAX_HOURS * 3600);
    assert_eq!(Claims::new("i", "u", &[], NOW, -1).lifetime(), 3600);
}

// ---- the client's key ----

struct Client {
    private: OaepPrivateDecryptingKey,
    spki: Vec<u8>,
}

fn client(size: KeySize) -> Client {
    let private = PrivateDecryptingKey::generate(size).unwrap();
    let spki: PublicKeyX509Der<'static> = private.public_key().as_der().unwrap();
    Client { spki: spki.as_ref().to_vec(), private: OaepPrivateDecryptingKey::new(private).unwrap() }
}

static CLIENT: LazyLock<Client> = LazyLock::new(|| client(KeySize::Rsa2048));

impl Client {
    fn jwk(&self) -> Value {
        let key = PublicKey::from_der(&self.spki).unwrap();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "RSA", "n": number(key.modulus().big_endian_without_leading_zero()), "e": number(key.exponent().big_endian_without_leading_zero())})
    }
    fn pem(&self) -> String {
        let text = STANDARD.encode(&self.spki);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }
    /// Unwraps as the profile of authservice.md 3.1 tells a client to.
    fn unwrap(&self, jwe: &str) -> Option<String> {
        let parts: Vec<&str> = jwe.split('.').collect();
        let [header, key, nonce, text, tag] = parts.as_slice() else { return None };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let mut plain = vec![0; self.private.min_output_size()];
        let key = self.private.decrypt(&OAEP_SHA256_MGF1SHA256, &decode(key)?, &mut plain, None).ok()?;
        let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
        let nonce = Nonce::try_assume_unique_for_key(&decode(nonce)?).ok()?;
        let mut sealed = [decode(text)?, decode(tag)?].concat();
        let plain = aead.open_in_place(nonce, Aad::from(header.as_bytes()), &mut sealed).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

#[test]
fn a_token_travels_wrapped_whatever_the_size_of_the_key() {
    let token = issue(&RING.store, &claims()).unwrap();
    for size in [KeySize::Rsa2048, KeySize::Rsa3072, KeySize::Rsa4096] {
        let client = client(size);
        let key = ClientKey::parse(&URL_SAFE_NO_PAD.encode(&client.spki)).unwrap();
        let jwe = wrap(&key, &token).unwrap();
        assert_eq!(client.unwrap(&jwe).unwrap(), token);
        let header: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwe.split('.').next().unwrap()).unwrap()).unwrap();
        assert_eq!(
            header,
            json!({"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "JWT", "kid": key.thumbprint()})
        );
        assert_ne!(wrap(&key, &token).unwrap(), jwe, "a fresh key and nonce every time");
        for part in [1, 2, 3, 4] {
            let mut parts: Vec<String> = jwe.split('.').map(str::to_owned).collect();
            let first = if parts[part].starts_with('A') { "B" } else { "A" };
            parts[part].replace_range(..1, first);
            assert!(client.unwrap(&parts.join(".")).is_none(), "part {part}");
        }
    }
    assert!(
        CLIENT
            .unwrap(
                &wrap(&ClientKey::parse(&URL_SAFE.encode(&client(KeySize::Rsa2048).spki)).unwrap(), &token)
                    .unwrap()
            )
            .is_none()
    );
}

#[test]
fn keys_come_in_several_forms() {
    let jwk = CLIENT.jwk().to_string();
    let pem = CLIENT.pem();
    let thumbprint = ClientKey::parse(&URL_SAFE_NO_PAD.encode(&CLIENT.spki)).unwrap().thumbprint().to_owned();
    let bare = URL_SAFE_NO_PAD.encode(&CLIENT.spki);
    let mut use_enc = CLIENT.jwk();
    use_enc["use"] = json!("enc");
    for form in [
        URL_SAFE.encode(&CLIENT.spki),
        format!(" {bare} "),
        URL_SAFE_NO_PAD.encode(&pem),
        URL_SAFE.encode(&pem),
        pem,
        URL_SAFE_NO_PAD.encode(&jwk),
        jwk,
        use_enc.to_string(),
    ] {
        assert_eq!(ClientKey::parse(&form).unwrap().thumbprint(), thumbprint, "{form}");
    }
}

#[test]
fn keys_that_are_refused() {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = |name: &str, value: Value| encode(with(CLIENT.jwk(), name, value).as_bytes());
    let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8: Pkcs8V1Der<'static> = pair.as_der().unwrap();
    let private_pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(&pkcs8.as_ref()[..600])
    );
    let ec =
        aws_lc_rs::signature::EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING)
            .unwrap();
    let ec_spki: PublicKeyX509Der<'static> = aws_lc_rs::signature::KeyPair::public_key(&ec).as_der().unwrap();
    let modulus = |bytes: usize, last: u8| {
        let mut n = vec![0xa5_u8; bytes];
        n[bytes - 1] = last;
        jwk("n", json!(encode(&n)))
    };
    let mut trailing = CLIENT.spki.clone();
    trailing.push(0);
    for (text, error) in [
        ("a".repeat(MAX_KEY_CHARACTERS + 1), ClientKeyError::TooLong),
        ("not base64url!".to_owned(), ClientKeyError::Encoding),
        (STANDARD.encode([0xfb, 0xff, 0xfe]), ClientKeyError::Encoding),
        (String::new(), ClientKeyError::Form),
        (encode(b"garbage"), ClientKeyError::Form),
        (encode(&trailing), ClientKeyError::Form),
        (encode(&CLIENT.spki[..200]), ClientKeyError::Form),
        (encode(ec_spki.as_ref()), ClientKeyError::Form),
        (encode(aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref()), ClientKeyError::Form),
        (jwk("kty", json!("EC")), ClientKeyError::Form),
        (jwk("use", json!("sig")), ClientKeyError::Form),
        (jwk("alg", json!("RSA1_5")), ClientKeyError::Form),
        (jwk("n", json!("")), ClientKeyError::Form),
        (jwk("d", json!("AQAB")), ClientKeyError::Private),
        (encode(private_pem.as_bytes()), ClientKeyError::Private),
        (jwk("e", json!("Aw")), ClientKeyError::Exponent),
        (jwk("e", json!("AQAA")), ClientKeyError::Exponent),
        (jwk("e", json!(encode(&[1; 9]))), ClientKeyError::Exponent),
        (modulus(128, 1), ClientKeyError::Size),
        (modulus(255, 1), ClientKeyError::Size),
        (modulus(513, 1), ClientKeyError::Size),
        (modulus(256, 2), ClientKeyError::Form),
        (encode(r#"{"kty":"RSA","kty":"RSA"}"#.as_bytes()), ClientKeyError::Form),
    ] {
        assert_eq!(ClientKey::parse(&text).err(), Some(error), "{text}");
    }
}

proptest! {
    #[test]
    fn garbage_is_refused_and_never_panics(text in any::<String>(), parts in proptest::collection::vec("[A-Za-z0-9_-]{0,40}", 0..6)) {
        prop_assert!(check(&text).is_err());
        prop_assert!(check(&parts.join(".")).is_err());
        prop_assert!(ClientKey::parse(&text).is_err());
        prop_assert!(ClientKey::parse(&parts.join("")).is_err());
    }

    #[test]
    fn no_altered_token_is_taken(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.-]") {
        static TOKEN: LazyLock<String> = LazyLock::new(|| issue(&RING.store, &claims()).unwrap());
        let at = at.index(TOKEN.len());
        let mut altered = TOKEN.clone();
        altered.replace_range(at..=at, &with);
        prop_assert_eq!(check(&altered).is_ok(), altered == *TOKEN);
        prop_assert!(check(&TOKEN[..at]).is_err());
    }

    #[test]
    fn any_signed_payload_is_read_or_refused(payload in ".{0,60}", user in ".{1,40}") {
        prop_assert!(check(&sign(&header().to_string(), &payload)).is_err());
        let token = issue(&RING.store, &Claims { sub: user.clone(), ..claims() }).unwrap();
        let valid = check(&token).unwrap();
        prop_assert_eq!(valid.user(), user.as_str());
    }

    #[test]
    fn an_altered_key_is_refused_or_another_key(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut spki = CLIENT.spki.clone();
        let at = at.index(spki.len());
        spki[at] ^= 1 << bit;
        if let Ok(key) = ClientKey::parse(&URL_SAFE_NO_PAD.encode(&spki)) {
            prop_assert!(wrap(&key, "x").is_ok());
        }
    }
}
