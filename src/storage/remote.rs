//! A lake in a cloud store: S3 and all that speak it, Google Cloud Storage, Azure Blob Storage.
//!
//! Objects go up in one conditional put: the stores take far larger ones than a data file becomes
//! (128 MB of builder bytes before compression), and a finished multipart upload would replace
//! what is there.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{
    ClientConfigKey, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig,
};
use tokio::runtime::Handle;

use super::{Backend, Error};

/// Longest single request: 128 MB at about 9 Mbit/s.
const REQUEST_TIMEOUT: &str = "120s";

/// A lake behind object_store.
pub struct Remote {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    runtime: Handle,
}

impl fmt::Debug for Remote {
    /// Leaves out the client, which holds credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Remote {
    /// Opens `scheme://bucket/prefix`; no request is made yet.
    ///
    /// # Errors
    /// [`Error::Address`] if the URL or the environment does not describe a store.
    pub fn open(url: &str, runtime: Handle) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Address { url: url.into(), reason };
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(refuse("it has no scheme".into()));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(refuse("it names no bucket".into()));
        }
        choose_cryptography();
        let store = client(scheme, bucket).map_err(|error| refuse(error.to_string()))?;
        let store = store.ok_or_else(|| {
            refuse("the scheme must be file, s3, gs or az, or none for a folder".into())
        })?;
        let prefix = Path::parse(prefix.trim_matches('/')).map_err(|e| refuse(e.to_string()))?;
        Ok(Self { store, prefix, runtime })
    }

    /// Wraps a store that is open already.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path, runtime: Handle) -> Self {
        Self { store, prefix, runtime }
    }

    fn path(&self, key: &str) -> Path {
        Path::from_iter(self.prefix.parts().chain(Path::from(key).parts()))
    }
}

/// Makes the process's choice of cryptography, which the client asks for; a second call changes
/// nothing.
fn choose_cryptography() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::trace!("cryptography was chosen before");
    }
}

/// Retries are ours, above; the client only repeats what is safe to within a moment.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 1, retry_timeout: Duration::from_secs(30), ..RetryConfig::default() }
}

fn client(scheme: &str, bucket: &str) -> Result<Option<Arc<dyn ObjectStore>>, object_store::Error> {
    let timeout = ClientConfigKey::Timeout;
    Ok(Some(match scheme {
        "s3" => {
            let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
            let key = AmazonS3ConfigKey::Client(timeout);
            let builder = match builder.get_config_value(&key) {
                Some(_) => builder,
                None => builder.with_config(key, REQUEST_TIMEOUT),
            };
            Arc::new(builder.with_retry(retries()).build()?)
        }
        "gs" => {
            let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
            let key = GoogleConfigKey::Client(timeout);
            let builder = match builder.get_config_value(&key) {
                Some(_) => builder,
                None => builder.with_config(key, REQUEST_TIMEOUT),
            };
            Arc::new(builder.with_retry(retries()).build()?)
        }
        "az" => {
            let builder = MicrosoftAzureBuilder::from_env().with_container_name(bucket);
            let key = AzureConfigKey::Client(timeout);
            let builder = match builder.get_config_value(&key) {
                Some(_) => builder,
                None => builder.with_config(key, REQUEST_TIMEOUT),
            };
            Arc::new(builder.with_retry(retries()).build()?)
        }
        _ => return Ok(None),
    }))
}

impl Backend for Remote {
    fn put_new(&self, key: &str, body: &Bytes) -> Result<bool, Error> {
        let payload = PutPayload::from_bytes(body.clone());
        let options = PutOptions::from(PutMode::Create);
        let path = self.path(key);
        match self.runtime.block_on(self.store.put_opts(&path, payload, options)) {
            Ok(_) => Ok(true),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(false),
            Err(error) => Err(classify("put", key, error)),
        }
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let path = self.path(key);
        let got = self.runtime.block_on(async { self.store.get(&path).await?.bytes().await });
        match got {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(classify("get", key, error)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let path = self.path(prefix);
        let listed = self.store.list(Some(&path)).try_collect::<Vec<_>>();
        let listed = self.runtime.block_on(listed).map_err(|e| classify("list", prefix, e))?;
        let relative = |found: &Path| -> Option<String> {
            let parts: Vec<_> = found.prefix_match(&self.prefix)?.collect();
            Some(parts.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("/"))
        };
        Ok(listed.iter().filter_map(|meta| relative(&meta.location)).collect())
    }
}

fn classify(action: &'static str, key: &str, error: object_store::Error) -> Error {
    let key = key.to_owned();
    match error {
        object_store::Error::NotSupported { .. }
        | object_store::Error::NotImplemented { .. }
        | object_store::Error::InvalidPath { .. }
        | object_store::Error::UnknownConfigurationKey { .. } => {
            Error::Unsupported { action, key, source: error.into() }
        }
        // Refused credentials too: they are rotated, and policies mended, under a running program.
        _ => Error::Unavailable { action, key, source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap()
    }

    #[test]
    fn a_name_is_given_once_and_keys_are_relative() {
        let runtime = runtime();
        let store = Arc::new(object_store::memory::InMemory::new());
        let lake = Remote::new(store, Path::from("some/prefix"), runtime.handle().clone());
        let body = Bytes::from_static(b"one");
        assert!(lake.put_new("x/y/z.json", &body).unwrap());
        assert!(!lake.put_new("x/y/z.json", &Bytes::from_static(b"two")).unwrap());
        assert_eq!(lake.get("x/y/z.json").unwrap(), Some(body));
        assert_eq!(lake.get("x/y").unwrap(), None);
        assert_eq!(lake.list("x/").unwrap(), ["x/y/z.json"]);
    }

    #[test]
    fn addresses_that_name_no_store_are_refused() {
        let runtime = runtime();
        for url in ["ftp://a/b", "s3://", "s3:///b", "s3://a/b//c"] {
            let error = Remote::open(url, runtime.handle().clone()).unwrap_err();
            assert!(matches!(error, Error::Address { .. }), "{url}: {error}");
        }
    }

    #[test]
    fn a_store_that_is_not_there_is_to_be_tried_again() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        choose_cryptography();
        let builder = AmazonS3Builder::new()
            .with_bucket_name("b")
            .with_region("r")
            .with_access_key_id("a")
            .with_secret_access_key("s")
            .with_endpoint("http://127.0.0.1:1")
            .with_allow_http(true)
            .with_retry(RetryConfig { max_retries: 0, ..retries() });
        let lake = Remote::new(
            Arc::new(builder.build().unwrap()),
            Path::default(),
            runtime.handle().clone(),
        );
        let error = lake.get("x").unwrap_err();
        assert_eq!(error.class(), crate::storage::Class::Retry, "{error}");
    }
}
