//! The configuration of an upstream: TLS, and invalid values.

use countersign::http_client::NetError;
use countersign::oci::{Reference, Repository};
use countersign::registry_client::{ConfigError, Metrics, Outage, Upstream, UpstreamError};

use crate::fake_registry::FakeRegistry;
use crate::files::file;
use crate::tls_server;

fn app() -> Repository {
    "library/app".parse().unwrap()
}

#[tokio::test]
async fn an_https_server_is_trusted_only_with_the_configured_root() {
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], http::Version::HTTP_2),
        (&["http/1.1"], http::Version::HTTP_11),
        (&[], http::Version::HTTP_11),
    ] {
        over_https(protocols, version).await;
    }
}

async fn over_https(protocols: &[&str], version: http::Version) {
    let (acceptor, authority) = tls_server::localhost(protocols);
    let fake = FakeRegistry::start_tls(acceptor).await;
    let digest = fake.registry().put_image(&app(), "layer");
    let mut config = fake.config();
    config.url = format!("https://localhost:{}", fake.address().port()).parse().unwrap();
    config.ca = Some(file("ca.pem", &authority));
    let upstream = Upstream::new(&config, &Metrics::default()).unwrap();
    upstream.manifest(&app(), &Reference::Digest(digest)).await.unwrap();
    assert_eq!(fake.asked()[0].version, version);

    config.ca = None;
    let stranger = Upstream::new(&config, &Metrics::default());
    // On a machine without roots, even the setup fails.
    let stranger = match stranger {
        Ok(stranger) => stranger.manifest(&app(), &Reference::Digest(digest)).await.unwrap_err(),
        Err(error) => return assert!(matches!(error, ConfigError::Tls(_)), "{error}"),
    };
    assert!(is_tls(&stranger), "{stranger:?}");

    config.ca = Some(file("ca.pem", &authority));
    config.url = fake.url("127.0.0.1").replace("http:", "https:").parse().unwrap();
    let other_name = Upstream::new(&config, &Metrics::default()).unwrap();
    let error = other_name.manifest(&app(), &Reference::Digest(digest)).await.unwrap_err();
    assert!(is_tls(&error), "{error:?}");
}

fn is_tls(error: &UpstreamError) -> bool {
    matches!(error, UpstreamError::Unreachable(Outage::Net(NetError::Tls { .. })))
}

#[tokio::test]
async fn an_invalid_configuration_is_an_error() {
    let fake = FakeRegistry::start().await;
    let error = |change: fn(&mut countersign::registry_client::Config)| {
        let mut config = fake.config();
        change(&mut config);
        Upstream::new(&config, &Metrics::default()).unwrap_err()
    };
    for url in ["ftp://a/", "http://u@a/", "http://a/?b", "http://a/#b", "data:,"] {
        let mut config = fake.config();
        config.url = url.parse().unwrap();
        let error = Upstream::new(&config, &Metrics::default()).unwrap_err();
        assert!(matches!(error, ConfigError::Url), "{url}");
    }
    assert!(matches!(error(|config| config.max_requests = 0), ConfigError::MaxRequests));
    let half = error(|config| config.username = Some("robot".to_owned()));
    assert!(matches!(half, ConfigError::Credentials(_)));
    let missing = error(|config| config.ca = Some("/nonexistent".into()));
    assert!(matches!(missing, ConfigError::Tls(_)));
    let realm = error(|config| config.token_realm = Some("https://a/".to_owned()));
    assert!(matches!(realm, ConfigError::TokenRealm));
}
