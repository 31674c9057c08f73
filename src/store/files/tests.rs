//! Every kind of file, valid and invalid, and a file whose read never ends.

use std::fs;

use super::*;

fn certified() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["host".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// The result of reading a file with this text.
async fn told(text: impl AsRef<[u8]>, kind: FileKind) -> Result<String, String> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    fs::write(&path, text).unwrap();
    why(StoreFiles::default().read(&path, kind).await)
}

fn why<T>(read: Result<T, StoreError>) -> Result<T, String> {
    read.map_err(|error| if let StoreError::File { why, .. } = error { why } else { error.to_string() })
}

#[tokio::test]
async fn secrets_are_one_line_and_not_empty() {
    use FileKind::{Digest, Password};
    for (text, kind, expected) in [
        ("hunter2\n", Password, Ok("hunter2".to_owned())),
        ("hunter2\r\n", Password, Ok("hunter2".to_owned())),
        (" with spaces \n\n", Password, Ok(" with spaces \n".to_owned())),
        ("\n", Password, Err("it is empty".to_owned())),
        ("", Digest, Err("it is empty".to_owned())),
        ("u:p\n", Digest, Ok("u:p".to_owned())),
        ("u\n", Digest, Err("it must hold one line, `user:password`".to_owned())),
        ("u:p\nv:q\n", Digest, Err("it must hold one line, `user:password`".to_owned())),
    ] {
        assert_eq!(told(text, kind).await, expected, "{text:?}");
    }
    assert_eq!(told([0xff], Password).await, Err("it is not UTF-8".to_owned()));
}

#[tokio::test]
async fn certificates_and_keys_are_checked() {
    use FileKind::{Authorities, Certificate, Key};
    let (cert, key) = certified();
    for kind in [Authorities, Certificate] {
        assert_eq!(told(&cert, kind).await, Ok(cert.clone()));
        assert_eq!(told(&key, kind).await, Err("it holds no certificate in PEM".to_owned()));
        assert_eq!(told("text", kind).await, Err("it holds no certificate in PEM".to_owned()));
    }
    assert_eq!(told(&key, Key).await, Ok(key.clone()));
    assert_eq!(told(&cert, Key).await, Err("it holds no private key in PEM".to_owned()));
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(told(nonsense, Authorities).await, Err("it holds no certificate in PEM".to_owned()));
}

#[tokio::test]
async fn irregular_and_oversized_files_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let files = StoreFiles::default();
    let read = |path: PathBuf| {
        let files = files.clone();
        async move { why(files.read(&path, FileKind::Password).await) }
    };
    assert_eq!(read(path).await, Err("it is not a regular file".to_owned()));
    assert_eq!(read("/dev/zero".into()).await, Err("it is not a regular file".to_owned()));
    assert_eq!(read(place.path().to_owned()).await, Err("it is not a regular file".to_owned()));
    assert!(read(place.path().join("none")).await.unwrap_err().contains("No such file"));
    let large = place.path().join("large");
    fs::File::create(&large).unwrap().set_len(LARGEST + 1).unwrap();
    assert_eq!(read(large).await, Err("it has more than 4194304 bytes".to_owned()));
}

#[tokio::test]
async fn a_hanging_file_blocks_one_thread_despite_repeated_reads() {
    let files = StoreFiles { patience: Duration::from_millis(20), ..StoreFiles::default() };
    let (release, released) = std::sync::mpsc::channel::<()>();
    let blocks = move |_: &Path| {
        let _ = released.recv();
        Ok(())
    };
    let path = Path::new("/f");
    let unanswered =
        |read: Result<(), StoreError>| assert!(why(read).unwrap_err().contains("does not answer"));
    unanswered(files.run(path, blocks).await);
    for _ in 0..3 {
        unanswered(files.run(path, |_| panic!("a second thread")).await);
    }
    drop(release);
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    while files.run(path, |_| Ok(())).await.is_err() {
        assert!(std::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (cert, _) = certified();
    let ca = place.path().join("ca");
    fs::write(&ca, cert).unwrap();
    let tls = Tls { ca: Some(ca.clone()), cert: Some(ca), ..Tls::default() };
    let read = why(StoreFiles::default().certificates(&tls).await.map(|_| ()));
    assert_eq!(read, Err("`cert` and `key` belong together; set both or none".to_owned()));
}
