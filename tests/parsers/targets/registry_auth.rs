//! `X-Registry-Auth` and the body of `/auth`.

use images::RegistryAuth;

pub const SEEDS: &[&[u8]] = &[
    b"eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InAiLCJzZXJ2ZXJhZGRyZXNzIjoiaHR0cHM6Ly94L3YxLyJ9",
    b"e30=",
    br#"{"username":"u","password":null,"auth":"dTpw","serveraddress":"https://127.0.0.1:5000/v1/"}"#,
    br#"{"identitytoken":"t"}"#,
];

pub fn run(data: &[u8]) {
    let from_body = RegistryAuth::from_json(data).ok();
    let from_header = super::text(data).and_then(|text| RegistryAuth::from_header(text).ok().flatten());
    for auth in [from_body, from_header].into_iter().flatten() {
        assert!(!auth.registry().contains('/'));
        let secret = auth.password.expose();
        // A log line may hold the credential's Debug form.
        assert!(
            secret.len() < 8
                || !format!("{auth:?}").contains(secret)
                || auth.username.contains(secret)
                || auth.server_address.contains(secret)
        );
    }
}
