//! What a failure of the client or an error reply of the server means.

use arshai_core::{Error, ErrorKind};
use fred::error::{Error as ClientError, ErrorKind as ClientErrorKind};

use crate::cluster::Redirect;

/// What is known after an attempt failed.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The server answered no, or nothing was sent: nothing was changed.
    Refused {
        error: Error,
        /// Whether the same attempt can succeed a little later.
        again: bool,
        /// Whether it needs another connection for that.
        elsewhere: bool,
    },
    /// The server does not have the key's slot, another one does: nothing was changed.
    Moved(Redirect),
    /// The server does not know the script.
    NoScript,
    /// No answer came: it may or may not have been executed.
    Lost(Error),
}

/// An answer after which the client ends the connection, and which it then gives to every command on it, whatever became
/// of that: it says nothing about the command.
const EVERYBODY_S: &str = "CLUSTERDOWN";

/// Judges an error of the client.
pub(crate) fn judge(error: ClientError) -> Verdict {
    match server_word(error.details()) {
        Some("NOSCRIPT") => Verdict::NoScript,
        Some(word) => {
            if let Some(redirect) = Redirect::read(error.details()) {
                return Verdict::Moved(redirect);
            }
            if word == EVERYBODY_S {
                let down = Error::new(ErrorKind::Unavailable, "the cluster is down");
                return Verdict::Lost(down.with_source(error));
            }
            let (kind, message, again, elsewhere) = answered(word, error.details());
            refused(kind, message, again, elsewhere, error)
        }
        None => unanswered(error),
    }
}

/// What a failure while connecting says: whatever was lost there, the command was not sent.
pub(crate) fn unreached(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Lost(error) => Verdict::Refused {
            error: Error::new(ErrorKind::Unavailable, "the server cannot be reached").with_source(error),
            again: true,
            elsewhere: true,
        },
        other => other,
    }
}

/// Whether the server answered, and answered no.
pub(crate) fn is_answer(error: &ClientError) -> bool {
    server_word(error.details()).is_some_and(|word| word != EVERYBODY_S)
}

/// Whether the server answered that it, or the user, never does this for several keys at once.
pub(crate) fn refuses_several_keys(error: &ClientError) -> bool {
    let names_command = || error.details().to_ascii_lowercase().contains("'mget'");
    match server_word(error.details()) {
        Some("CROSSSLOT") => true,
        // The other reason is one of the keys.
        Some("NOPERM") => names_command(),
        Some("ERR") => error.details().contains("unknown command") && names_command(),
        _ => false,
    }
}

/// Whether the server answered that it does not know a script of this digest.
pub(crate) fn is_unknown_script(error: &ClientError) -> bool {
    server_word(error.details()) == Some("NOSCRIPT")
}

/// The first word of an error reply, or of the reply a script was given and passed on.
fn server_word(details: &str) -> Option<&str> {
    let is_code =
        |word: &str| word.len() >= 2 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let first = details.trim_start_matches('-').split_whitespace().next().filter(|word| is_code(word))?;
    if first != "ERR" {
        return Some(first);
    }
    // Redis 6: "ERR Error running script (…): @user_script:4: -READONLY You can't write …", or with no hyphen.
    let inner = details.split_once("@user_script").and_then(|(_, rest)| {
        rest.split_whitespace().take(3).map(|word| word.trim_start_matches('-')).find(|word| is_code(word))
    });
    Some(inner.unwrap_or(first))
}

fn answered(word: &str, details: &str) -> (ErrorKind, &'static str, bool, bool) {
    use ErrorKind::{Config, Corrupt, Exhausted, Protocol, Unauthorized, Unavailable, Unsupported};
    match word {
        "LOADING" => (Unavailable, "the server is loading its data", true, false),
        "BUSY" | "UNKILLABLE" => (Unavailable, "the server is busy with a script", true, false),
        "READONLY" => (Unavailable, "the server is a replica and takes no writes", true, true),
        "MASTERDOWN" | "NOREPLICAS" => {
            (Unavailable, "the server has lost its master or replicas", true, true)
        }
        "MOVED" | "ASK" | "TRYAGAIN" => (Unavailable, "the key's slot is moving", true, false),
        "MISCONF" => (Unavailable, "the server cannot save its data and takes no writes", true, false),
        "OOM" => (
            Exhausted,
            "the server is out of memory: raise maxmemory or shorten the time to live",
            false,
            false,
        ),
        "NOAUTH" | "WRONGPASS" => (Unauthorized, "the server asks for another user or password", false, true),
        "NOPERM" => (
            Unauthorized,
            "the user may not do this: it needs GET, MGET, SET, EVAL, EVALSHA, SCAN, UNLINK, PTTL, PEXPIRE, PERSIST, \
             EXISTS and PING on the memory keys; ROLE behind sentinels, CLUSTER SLOTS and ASKING on a cluster, WAIT when \
             min_replicas is set",
            false,
            false,
        ),
        "WRONGTYPE" => (Corrupt, "the key holds something that is not a memory", false, false),
        _ if details.contains("max number of clients") => {
            (Exhausted, "the server has as many clients as it takes: raise maxclients", true, true)
        }
        _ if details.contains("invalid password") || details.contains("without any password") => {
            (Unauthorized, "the server asks for another user or password", false, true)
        }
        _ if details.contains("DB index") => {
            (Config, "the server has no database of this number", false, false)
        }
        _ if details.contains("cluster support disabled") => {
            (Config, "the server is not a cluster: use redis:// instead of redis-cluster://", false, false)
        }
        _ if details.contains("unknown command") => {
            (Unsupported, "the server does not know a command", false, false)
        }
        _ => (Protocol, "the server answered with an error", false, false),
    }
}

fn unanswered(error: ClientError) -> Verdict {
    let details = error.details();
    let certificate = details.contains("ertificate");
    if certificate || matches!(error.kind(), ClientErrorKind::Tls) {
        let message =
            "the server's certificate is not trusted: set ca_file, or use the name in the certificate";
        return refused(ErrorKind::Config, message, false, true, error);
    }
    match error.kind() {
        ClientErrorKind::Backpressure => {
            refused(ErrorKind::Exhausted, "too many commands wait for the server", true, false, error)
        }
        ClientErrorKind::Auth => refused(
            ErrorKind::Unauthorized,
            "the server asks for another user or password",
            false,
            true,
            error,
        ),
        ClientErrorKind::Config | ClientErrorKind::Url | ClientErrorKind::InvalidArgument => {
            refused(ErrorKind::Internal, "the client refused the command", false, false, error)
        }
        ClientErrorKind::Timeout => Verdict::Lost(
            Error::new(ErrorKind::Timeout, "the server did not answer in time").with_source(error),
        ),
        _ => Verdict::Lost(
            Error::new(ErrorKind::Unavailable, "the connection ended before the answer").with_source(error),
        ),
    }
}

fn refused(
    kind: ErrorKind,
    message: &'static str,
    again: bool,
    elsewhere: bool,
    source: ClientError,
) -> Verdict {
    let error = Error::new(kind, message)
        .with_retryable(again || kind == ErrorKind::Exhausted)
        .with_effect(arshai_core::Effect::NotApplied)
        .with_source(source);
    Verdict::Refused { error, again, elsewhere }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(kind: ClientErrorKind, details: &'static str) -> (Option<ErrorKind>, bool, bool) {
        match judge(ClientError::new(kind, details)) {
            Verdict::Refused { error, again, elsewhere } => (Some(error.kind()), again, elsewhere),
            Verdict::Moved(_) | Verdict::NoScript | Verdict::Lost(_) => (None, false, false),
        }
    }

    #[test]
    fn replies_of_a_server_in_trouble_are_kinds_a_caller_can_act_on() {
        use ErrorKind::{Config, Corrupt, Exhausted, Protocol, Unauthorized, Unavailable, Unsupported};
        for (reply, kind, again, elsewhere) in [
            ("LOADING Redis is loading the dataset in memory", Unavailable, true, false),
            ("READONLY You can't write against a read only replica.", Unavailable, true, true),
            (
                "ERR Error running script (call to f_1): @user_script:13: -READONLY You can't write",
                Unavailable,
                true,
                true,
            ),
            (
                "ERR Error running script (call to f_1): @user_script: 13: -OOM command not allowed",
                Exhausted,
                false,
                false,
            ),
            ("OOM command not allowed when used memory > 'maxmemory'.", Exhausted, false, false),
            ("BUSY Redis is busy running a script.", Unavailable, true, false),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Unavailable, true, false),
            ("NOAUTH Authentication required.", Unauthorized, false, true),
            ("WRONGPASS invalid username-password pair", Unauthorized, false, true),
            ("NOPERM this user has no permissions", Unauthorized, false, false),
            ("ERR max number of clients reached", Exhausted, true, true),
            ("ERR DB index is out of range", Config, false, false),
            ("ERR unknown command 'GETEX'", Unsupported, false, false),
            ("WRONGTYPE Operation against a key", Corrupt, false, false),
            (
                "ERR Error running script (call to f_1): @user_script:1: WRONGTYPE Operation against a key",
                Corrupt,
                false,
                false,
            ),
            ("ERR something new", Protocol, false, false),
        ] {
            assert_eq!(judged(ClientErrorKind::Unknown, reply), (Some(kind), again, elsewhere), "{reply}");
        }
    }

    #[test]
    fn silence_is_never_taken_for_a_refusal() {
        for (kind, details) in [
            (ClientErrorKind::IO, "Connection closed."),
            (ClientErrorKind::Timeout, "Request timed out."),
            (ClientErrorKind::Canceled, "Canceled."),
            (ClientErrorKind::Protocol, "Could not decode frame"),
            (ClientErrorKind::Unknown, "channel closed"),
            (ClientErrorKind::Cluster, "CLUSTERDOWN Hash slot not served"),
            (ClientErrorKind::Unknown, ""),
        ] {
            assert!(matches!(judge(ClientError::new(kind, details)), Verdict::Lost(_)), "{details}");
        }
    }

    #[test]
    fn what_is_refused_for_several_keys_at_all_is_told_from_what_is_refused_for_one_of_them() {
        for (reply, always) in [
            ("NOPERM User narrow has no permissions to run the 'mget' command", true),
            ("NOPERM this user has no permissions to run the 'mget' command or its subcommand", true),
            ("ERR unknown command 'MGET', with args beginning with: 'a'", true),
            ("CROSSSLOT Keys in request don't hash to the same slot", true),
            ("NOPERM No permissions to access a key", false),
            ("OOM command not allowed when used memory > 'maxmemory'.", false),
        ] {
            assert_eq!(
                refuses_several_keys(&ClientError::new(ClientErrorKind::Unknown, reply)),
                always,
                "{reply}"
            );
        }
    }

    #[test]
    fn an_unknown_script_is_told_apart() {
        let error = ClientError::new(ClientErrorKind::Unknown, "NOSCRIPT No matching script.");
        assert!(matches!(judge(error), Verdict::NoScript));
    }

    #[test]
    fn a_certificate_nobody_signed_is_not_retried() {
        let details = "Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }";
        assert_eq!(judged(ClientErrorKind::IO, details), (Some(ErrorKind::Config), false, true));
    }
}
