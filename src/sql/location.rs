//! Where the warehouse finds the lake's files, in each warehouse's own spelling.

use super::Dialect;

/// The lake's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder, as an absolute path without a slash at its end.
    Folder(String),
    /// A bucket or container with the path in it.
    Bucket {
        /// `s3`, `gs`, `az`, or what was given.
        scheme: String,
        /// `bucket` or `bucket/prefix`.
        path: String,
    },
}

impl Location {
    /// Reads an address as `storage.url` has it; folders are taken as they are.
    #[must_use]
    pub fn parse(url: &str) -> Self {
        let trimmed = url.trim_end_matches('/');
        match trimmed.split_once("://") {
            None => Self::Folder(trimmed.to_owned()),
            Some(("file", path)) => Self::Folder(path.to_owned()),
            Some((scheme, path)) => {
                // The endpoint and its options are for the gateway's own client.
                let path = path.split(['?', '#']).next().unwrap_or(path).trim_end_matches('/');
                Self::Bucket { scheme: scheme.to_owned(), path: path.to_owned() }
            }
        }
    }

    /// The address of the object `key`, or of the lake itself for an empty key.
    pub(super) fn url(&self, dialect: Dialect, key: &str) -> String {
        let (slash, base) = (if key.is_empty() { "" } else { "/" }, self.base(dialect));
        format!("{base}{slash}{key}")
    }

    fn base(&self, dialect: Dialect) -> String {
        match self {
            Self::Folder(path) => match dialect {
                Dialect::Snowflake | Dialect::Databricks | Dialect::Bigquery => {
                    format!("file://{path}")
                }
                _ => path.clone(),
            },
            Self::Bucket { scheme, path } => match (dialect, scheme.as_str()) {
                (Dialect::Snowflake, "gs") => format!("gcs://{path}"),
                (Dialect::Snowflake, "az") => {
                    format!("azure://<account>.blob.core.windows.net/{path}")
                }
                (Dialect::Databricks, "az") => {
                    let (container, prefix) = path.split_once('/').unwrap_or((path, ""));
                    let slash = if prefix.is_empty() { "" } else { "/" };
                    format!("abfss://{container}@<account>.dfs.core.windows.net{slash}{prefix}")
                }
                _ => format!("{scheme}://{path}"),
            },
        }
    }

    /// What somebody must know or fill in before the script can run, if anything.
    #[must_use]
    pub fn remarks(&self, dialect: Dialect) -> Vec<&'static str> {
        let mut remarks = Vec::new();
        let is_folder = matches!(self, Self::Folder(_));
        match dialect {
            Dialect::Snowflake if is_folder => remarks.push(
                "The lake is a folder: the stage is an internal one, put the files there first \
                 (snowsql: put 'file:///folder/*' @stage/folder auto_compress = false).",
            ),
            Dialect::Bigquery | Dialect::Redshift | Dialect::Databricks if is_folder => remarks
                .push("The warehouse cannot read this folder: copy it to a bucket, then give --location."),
            Dialect::Clickhouse if is_folder => remarks.push(
                "file() reads below the server's user_files_path; clickhouse-local and chdb read any path.",
            ),
            _ => {}
        }
        if self.base(dialect).contains("<account>") {
            remarks.push("Write the name of the storage account where <account> stands.");
        }
        match dialect {
            Dialect::Snowflake if !is_folder => {
                remarks.push("The stage needs a storage integration; its name here is KEELROW.");
            }
            Dialect::Redshift => remarks.push(
                "COPY reads each file by a manifest: `keelrow sql --dialect redshift --manifests DIR` \
                 writes them, copy them to the place that the COPY statements name.",
            ),
            Dialect::Postgres => remarks.push(
                "COPY runs duckdb on the server. Where that is not allowed, run it at the client: \
                 sed 's/^copy /\\\\copy /' SCRIPT | psql.",
            ),
            Dialect::Duckdb if !is_folder => remarks.push(
                "Credentials: create secret (type s3, provider credential_chain), or gcs, azure.",
            ),
            _ => {}
        }
        remarks
    }
}
