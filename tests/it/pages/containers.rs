//! `docs/containers.md`: its configuration is valid.

use serde_json::Value;

use super::super::fixture::program::good;
use super::fenced;

const PAGE: &str = include_str!("../../../docs/containers.md");

fn documents() -> Vec<Value> {
    fenced(PAGE, "yaml").iter().map(|text| serde_saphyr::from_str(text).unwrap()).collect()
}

#[test]
fn the_configuration_of_the_page_is_valid() {
    let place = tempfile::Builder::new().prefix("twitcher-page.").tempdir().unwrap();
    let [config, _] = documents().try_into().unwrap();
    let secret = place.path().join("password");
    std::fs::write(&secret, "secret").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for (name, text) in config["data"].as_object().unwrap() {
        let text =
            text.as_str().unwrap().replace("/etc/twitcher-secrets", &place.path().display().to_string());
        std::fs::create_dir_all(place.path().join("config")).unwrap();
        std::fs::write(place.path().join("config").join(name), text).unwrap();
    }
    let config = place.path().join("config").display().to_string();
    good("dir:///nowhere", &["-c", &config, "check"]);
}

#[test]
fn every_volume_of_the_pod_is_mounted_once() {
    let [_, pod] = documents().try_into().unwrap();
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&pod["spec"]["volumes"]), names(&pod["spec"]["containers"][0]["volumeMounts"]));
}
