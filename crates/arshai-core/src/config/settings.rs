//! Settings shared by the backends.

use std::time::Duration;

use super::Variable;
use crate::Result;

/// Settings shared by the backends. Explicit settings of a backend beat these.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Milvus batches in flight at once. Default: 4.
    pub milvus_batch_concurrency: usize,
    /// Time to connect to Milvus. Default: 30 s.
    pub milvus_connection_timeout: Duration,
    /// Redis connections at most. Default: 20.
    pub redis_max_connections: usize,
    /// Time to connect to Redis. Default: 10 s.
    pub redis_connection_timeout: Duration,
    /// Embedding batches in flight at once. Default: 5.
    pub openai_batch_concurrency: usize,
    /// Time for one request to an OpenAI-compatible server. Default: 60 s.
    pub openai_request_timeout: Duration,
    /// Whether batch operations run concurrently. Default: true.
    pub enable_async_operations: bool,
    /// Whether a sync-only part given to an async tool is moved to a blocking thread. Default: true.
    pub async_fallback_to_sync: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            milvus_batch_concurrency: 4,
            milvus_connection_timeout: Duration::from_secs(30),
            redis_max_connections: 20,
            redis_connection_timeout: Duration::from_secs(10),
            openai_batch_concurrency: 5,
            openai_request_timeout: Duration::from_secs(60),
            enable_async_operations: true,
            async_fallback_to_sync: true,
        }
    }
}

impl Settings {
    /// What [`Settings::from_env`] reads.
    pub const VARIABLES: [Variable; 8] = [
        Variable::new("MILVUS_BATCH_CONCURRENCY", "Milvus batches in flight at once").of("4", "batches"),
        Variable::new("MILVUS_CONNECTION_TIMEOUT", "time to connect to Milvus").of("30", "seconds"),
        Variable::new("REDIS_MAX_CONNECTIONS", "Redis connections at most").of("20", "connections"),
        Variable::new("REDIS_CONNECTION_TIMEOUT", "time to connect to Redis").of("10", "seconds"),
        Variable::new("OPENAI_BATCH_CONCURRENCY", "embedding batches in flight at once").of("5", "batches"),
        Variable::new("OPENAI_REQUEST_TIMEOUT", "time for one request to an OpenAI-compatible server")
            .of("60", "seconds"),
        Variable::new("ENABLE_ASYNC_OPERATIONS", "`false`: batch operations run one at a time")
            .of("true", "true, false"),
        Variable::new(
            "ASYNC_FALLBACK_TO_SYNC",
            "`false`: a part with blocking methods only is refused in async code",
        )
        .of("true", "true, false"),
    ];

    /// The settings of this process's environment; what is not set keeps its default.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the first variable whose value is not understood, and what is.
    pub fn from_env() -> Result<Self> {
        Variable::check(&Self::VARIABLES)?;
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// The settings of any source of variables.
    ///
    /// # Errors
    ///
    /// As [`Settings::from_env`].
    pub fn from_variables(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self> {
        let default = Self::default();
        let read = Reader { variable: &variable };
        Ok(Self {
            milvus_batch_concurrency: read
                .count("MILVUS_BATCH_CONCURRENCY", default.milvus_batch_concurrency)?,
            milvus_connection_timeout: read
                .seconds("MILVUS_CONNECTION_TIMEOUT", default.milvus_connection_timeout)?,
            redis_max_connections: read.count("REDIS_MAX_CONNECTIONS", default.redis_max_connections)?,
            redis_connection_timeout: read
                .seconds("REDIS_CONNECTION_TIMEOUT", default.redis_connection_timeout)?,
            openai_batch_concurrency: read
                .count("OPENAI_BATCH_CONCURRENCY", default.openai_batch_concurrency)?,
            openai_request_timeout: read.seconds("OPENAI_REQUEST_TIMEOUT", default.openai_request_timeout)?,
            enable_async_operations: read.flag("ENABLE_ASYNC_OPERATIONS", default.enable_async_operations)?,
            async_fallback_to_sync: read.flag("ASYNC_FALLBACK_TO_SYNC", default.async_fallback_to_sync)?,
        })
    }

    /// The value in force of one of [`Settings::VARIABLES`], in its unit; `None` for other names.
    pub fn value(&self, variable: &str) -> Option<String> {
        Some(match variable {
            "MILVUS_BATCH_CONCURRENCY" => self.milvus_batch_concurrency.to_string(),
            "MILVUS_CONNECTION_TIMEOUT" => self.milvus_connection_timeout.as_secs_f64().to_string(),
            "REDIS_MAX_CONNECTIONS" => self.redis_max_connections.to_string(),
            "REDIS_CONNECTION_TIMEOUT" => self.redis_connection_timeout.as_secs_f64().to_string(),
            "OPENAI_BATCH_CONCURRENCY" => self.openai_batch_concurrency.to_string(),
            "OPENAI_REQUEST_TIMEOUT" => self.openai_request_timeout.as_secs_f64().to_string(),
            "ENABLE_ASYNC_OPERATIONS" => self.enable_async_operations.to_string(),
            "ASYNC_FALLBACK_TO_SYNC" => self.async_fallback_to_sync.to_string(),
            _ => return None,
        })
    }

    /// `configured` batches in flight, or one when async operations are switched off.
    pub fn concurrency(&self, configured: usize) -> usize {
        if self.enable_async_operations { configured.max(1) } else { 1 }
    }
}

struct Reader<'a, F> {
    variable: &'a F,
}

impl<F: Fn(&'static str) -> Option<String>> Reader<'_, F> {
    fn read<T>(
        &self,
        name: &'static str,
        default: T,
        allowed: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        match (self.variable)(name) {
            None => Ok(default),
            Some(value) if value.trim().is_empty() => Ok(default),
            Some(value) => {
                parse(value.trim()).ok_or_else(|| Variable::new(name, "").refused(&value, allowed))
            }
        }
    }

    fn count(&self, name: &'static str, default: usize) -> Result<usize> {
        self.read(name, default, "a whole number from 1 to 10000", |value| {
            value.parse().ok().filter(|count| (1..=10_000).contains(count))
        })
    }

    fn seconds(&self, name: &'static str, default: Duration) -> Result<Duration> {
        self.read(name, default, "seconds from 0.001 to 86400, such as 30 or 2.5", |value| {
            let seconds: f64 = value.parse().ok()?;
            (0.001..=86_400.0).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
        })
    }

    fn flag(&self, name: &'static str, default: bool) -> Result<bool> {
        let value = (self.variable)(name).filter(|value| !value.trim().is_empty());
        value.map_or(Ok(default), |value| Variable::new(name, "").switch(&value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn one(name: &'static str, value: &str) -> Result<Settings> {
        let value = value.to_owned();
        Settings::from_variables(move |asked| (asked == name).then(|| value.clone()))
    }

    #[test]
    fn nothing_set_is_the_default() {
        assert_eq!(Settings::from_variables(|_| None).unwrap(), Settings::default());
    }

    #[test]
    fn values_are_read_with_their_units() {
        assert_eq!(one("REDIS_MAX_CONNECTIONS", " 7 ").unwrap().redis_max_connections, 7);
        assert_eq!(one("OPENAI_REQUEST_TIMEOUT", "2.5").unwrap().openai_request_timeout.as_millis(), 2500);
        let off = one("ENABLE_ASYNC_OPERATIONS", "False").unwrap();
        assert_eq!((off.enable_async_operations, off.concurrency(4)), (false, 1));
    }

    #[test]
    fn a_bad_value_names_the_variable_and_what_is_allowed() {
        for (name, value) in [
            ("MILVUS_BATCH_CONCURRENCY", "0"),
            ("MILVUS_CONNECTION_TIMEOUT", "-1"),
            ("MILVUS_CONNECTION_TIMEOUT", "NaN"),
            // It would be no time at all.
            ("MILVUS_CONNECTION_TIMEOUT", "1e-10"),
            ("ASYNC_FALLBACK_TO_SYNC", "maybe"),
        ] {
            let error = one(name, value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(name), "{error}");
            assert!(error.context().any(|(name, _)| name == "allowed"));
        }
    }

    #[test]
    fn every_variable_is_read_and_its_default_is_the_one_told() {
        for variable in Settings::VARIABLES {
            let name = variable.name;
            assert!(one(name, "nonsense").unwrap_err().to_string().contains(name));
            assert_eq!(one(name, variable.default).unwrap(), Settings::default(), "{name}");
            assert_eq!(Settings::default().value(name).as_deref(), Some(variable.default), "{name}");
        }
    }
}
