//! The command line as it is written; its doc comments are the `--help`.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use gateway_core::config::{WARNINGS, formats};
use gateway_core::policy::authenticate::basic;

use crate::outcome::{Failure, Outcome};
use crate::tail::{interval, time};
use crate::terminal::Colour;

/// Checks, explains, compiles and runs the configuration of a Postern gateway.
#[derive(Debug, Parser)]
#[command(
    name = "postern",
    version,
    styles = STYLES,
    max_term_width = 100,
    infer_subcommands = false,
    after_help = AFTER_HELP,
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Whether to colour the output.
    #[arg(
        long = "color",
        alias = "colour",
        value_name = "WHEN",
        global = true,
        default_value = "auto",
        hide_possible_values = true,
        help = "Colour the output: auto, always or never; NO_COLOR is honoured"
    )]
    pub colour: Colour,
}

const AFTER_HELP: &str = "\
Examples:
  postern init                                      write a commented gateway.yaml
  postern check                                     find every problem in it
  postern explain GET http://localhost/files/a      which route answers, and why
  postern dev --port 8080                           run it here, on the real Workers runtime

Exit codes:
  0  all is well
  1  the answer is bad news: problems in the configuration, no route for the request
  2  the command could not be carried out: wrong arguments, no configuration, unwritable files

Where no --config is given, gateway.yaml, gateway.yml, gateway.toml or gateway.json is read from
the current folder.";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find every problem in a configuration.
    ///
    /// Reads the configuration and the files it includes and shows every problem in one pass: where it is, what is
    /// wrong, what to write instead. Warnings do not fail the check unless --deny-warnings is given.
    Check(Check),

    /// Compile a configuration into the file that the gateway loads.
    ///
    /// The file travels beside the Wasm, as a module of its own on Workers and as a file on Spin, so that a change of
    /// the configuration never recompiles anything. It is written only when there is no error, and replaced in one
    /// step.
    Compile(Compile),

    /// Show which route answers a request, and why the others do not.
    ///
    /// Asks the very engine that runs in the gateway: the routes that were candidates, in the order they were tried,
    /// the condition that each failed, the one that matched, its parameters, and what would be sent to which upstream.
    Explain(Explain),

    /// Show which requests of an access log two configurations would treat differently, and how.
    ///
    /// Explains every request of the log under both, by the same engine as `explain`, and compares: the route, its policies,
    /// the upstream and its URL, the fields that change, and what the gateway answers itself. Requests that would be treated
    /// differently in the same way are counted together. A log has neither credentials nor bodies, so a request that is
    /// refused for want of one is compared by the policies that it meets.
    Diff(Diff),

    /// Send the requests of an access log again, and compare statuses and latencies with the log's.
    ///
    /// Only methods that change nothing (GET, HEAD, OPTIONS, TRACE) are sent, unless told otherwise: a log has no bodies.
    Replay(Replay),

    /// Put a version of the configuration into a gateway that runs, without a deployment.
    ///
    /// Compiles the configuration here, stores it through the admin interface, and has it serve: a share of all callers at first,
    /// as `rollout` in the deployed configuration says. A configuration with errors is not sent, and a version that the gateway
    /// cannot load is refused.
    Push(Push),

    /// Show which versions of the configuration a gateway serves, and what has become of others.
    Status(Status),

    /// Take back the version that is on trial; where none is, go back to what was in service before.
    Rollback(Rollback),

    /// Print the JSON Schema of the configuration.
    ///
    /// Editors complete and check with it. In YAML, name it in the first line:
    /// `# yaml-language-server: $schema=gateway.schema.json`
    #[command(after_help = "Examples:\n  postern schema > gateway.schema.json")]
    Schema,

    /// Print the reference of the configuration as Markdown.
    #[command(after_help = "\
Examples:
  postern reference > docs/configuration.md
  postern reference --policies docs/policies")]
    Reference {
        /// Write a page for each policy into this folder instead.
        #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        policies: Option<PathBuf>,
    },

    /// Write a commented configuration to start from.
    Init(Init),

    /// Write a configuration from another gateway's.
    ///
    /// What is not carried over is told, with what to write instead, and makes the exit code 1. The new configuration is checked
    /// at once. Nothing is written over a file that is there.
    Import(Import),

    /// Make API keys for consumers, and the entries by which the gateway knows them.
    #[command(subcommand)]
    Key(Key),

    /// Hash passwords, as the configuration keeps them.
    #[command(subcommand)]
    Password(Password),

    /// Sign a request, to try out a route that takes signed ones.
    ///
    /// Reads the secret of one of a consumer's `signers` from standard input and prints a line for curl.
    Sign(Sign),

    /// Run the gateway here, on the real runtime, and reload it when its configuration changes.
    ///
    /// Compiles the configuration, builds the gateway if that has not been done, starts the runtime and prints `ready`
    /// with the address when it answers. A configuration with problems is reported, and the last good one goes on
    /// serving. Values for ${env:…} and ${secret:…} come from the environment and from a file .dev.vars (NAME=value)
    /// beside the configuration.
    Dev(Dev),

    /// Show the requests of a gateway that runs, as they come.
    ///
    /// Asks the gateway's admin interface, which tells those that its sampling takes, of all instances.
    Tail(Tail),

    /// Show what each route of a gateway that runs has to do: rates, errors, refusals, latency.
    ///
    /// Asks the gateway's admin interface, of all instances.
    Top(Top),

    /// Change something in a gateway that runs: targets, routes, API keys.
    ///
    /// Asks the gateway's admin interface. Every change is in effect in all instances within seconds, and in the audit log.
    #[command(subcommand)]
    Admin(Operate),

    /// Take back what the caches of a gateway that runs have stored.
    ///
    /// Asks the gateway's admin interface.
    Purge(Purge),

    /// Print the completions for a shell.
    #[command(after_help = "\
Examples:
  bash:  source <(postern completions bash)
  zsh:   postern completions zsh > ~/.zfunc/_postern
  fish:  postern completions fish > ~/.config/fish/completions/postern.fish")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Write a configuration from another gateway's.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postern import kong kong.yaml
  deck gateway dump -o kong.yaml && postern import kong kong.yaml --out gateway.yaml
  postern import kong kong.yaml --out -")]
pub struct Import {
    /// Which gateway.
    #[arg(value_name = "GATEWAY")]
    pub origin: Origin,
    /// Its configuration: of Kong a declarative one, as `deck gateway dump` and `kong config db_export` write it.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Where to write; `-` is standard output.
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
}

/// Gateways whose configurations can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Origin {
    /// Kong.
    Kong,
}

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key, show it once, and print the entry to store.
    ///
    /// The key has more than 192 random bits behind its prefix. Only its hash is stored; the prefix says in logs which key it was.
    New(KeyNew),

    /// Print the entry for a key that exists already, read from standard input.
    Hash(KeyHash),

    /// Make a key and write it into the platform's key-value store, without a deployment.
    ///
    /// For gateways whose configuration says `consumers_from: store`. The key is shown once, when the store has it.
    Write(KeyWrite),

    /// Take a key out of the platform's key-value store.
    ///
    /// The key is read from standard input, unless --hash says which one is meant.
    Revoke(KeyRevoke),
}

/// Options of `key write`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postern key write --consumer alice --group partners --expires 2027-01-31
  postern key write --consumer alice --stdin < key.txt
  postern key write --consumer alice --platform spin      prints what to put into the store")]
pub struct KeyWrite {
    /// The consumer it is for. Where the configuration has one of this name, its groups count too.
    #[arg(long, value_name = "NAME", value_parser = consumer)]
    pub consumer: String,

    /// A group that the consumer belongs to; may be repeated.
    #[arg(long = "group", value_name = "NAME", value_delimiter = ',', value_parser = consumer)]
    pub groups: Vec<String>,

    /// From when on it is refused: a date (its first moment in UTC), or a date and a time (RFC 3339).
    #[arg(long, value_name = "DATE", value_parser = moment)]
    pub expires: Option<String>,

    /// What keys begin with, for those who find one: letters and digits, at most 8.
    #[arg(long, value_name = "TEXT", default_value = "pk", value_parser = key_kind)]
    pub prefix: String,

    /// Take the key that comes through standard input, instead of making one.
    #[arg(long, conflicts_with = "prefix")]
    pub stdin: bool,

    #[command(flatten)]
    pub store: Store,
}

/// Options of `key revoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postern key revoke < key.txt
  postern key revoke --hash 2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90")]
pub struct KeyRevoke {
    /// The key's hash, as `key write` printed it.
    #[arg(long, value_name = "HASH", value_parser = key_hash)]
    pub hash: Option<String>,

    #[command(flatten)]
    pub store: Store,
}

/// Which store.
#[derive(Debug, Args)]
pub struct Store {
    /// Whose store it is.
    #[arg(long, value_name = "PLATFORM", default_value = "workers")]
    pub platform: Runtime,

    /// The binding of the KV namespace in wrangler.toml.
    #[arg(long, value_name = "NAME", default_value = "POSTERN_STORE")]
    pub binding: String,

    /// Write to wrangler's local storage, for `wrangler dev`.
    #[arg(long)]
    pub local: bool,

    /// Where the local storage is, if not in the usual place.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, requires = "local")]
    pub persist_to: Option<PathBuf>,
}

/// Options of `key new`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postern key new --consumer alice
  postern key new --consumer alice --expires 2027-01-31
  postern key new --consumer alice --format json | jq -r .key

To change a key without an interruption, store the new one beside the old one, and remove the old one when it is no longer
used.")]
pub struct KeyNew {
    /// The consumer it is for, by the name that the configuration has for it.
    #[arg(long, value_name = "NAME", value_parser = consumer)]
    pub consumer: String,

    /// From when on it is refused: a date (its first moment in UTC), or a date and a time (RFC 3339).
    #[arg(long, value_name = "DATE", value_parser = moment)]
    pub expires: Option<String>,

    /// What keys begin with, for those who find one: letters and digits, at most 8.
    #[arg(long, value_name = "TEXT", default_value = "pk", value_parser = key_kind)]
    pub prefix: String,

    /// How to print the entry.
    #[arg(long, value_name = "FORMAT", default_value = "yaml")]
    pub format: EntryFormat,
}

/// Options of `key hash`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postern key hash --consumer alice < key.txt
  pass show alice/key | postern key hash --consumer alice --prefix acme_")]
pub struct KeyHash {
    /// The consumer it belongs to.
    #[arg(long, value_name = "NAME", value_parser = consumer)]
    pub consumer: String,

    /// From when on it is refused: a date (its first moment in UTC), or a date and a time (RFC 3339).
    #[arg(long, value_name = "DATE", value_parser = moment)]
    pub expires: Option<String>,

    /// The first characters of the key, which logs show; by default four.
    #[arg(long, value_name = "TEXT", value_parser = key_prefix)]
    pub prefix: Option<String>,

    /// How to print the entry.
    #[arg(long, value_name = "FORMAT", default_value = "yaml")]
    pub format: EntryFormat,
}

/// What to do with passwords.
#[derive(Debug, Subcommand)]
pub enum Password {
    /// Print the hash of a password, read from standard input.
    Hash(PasswordHash),
}

/// Options of `password hash`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postern password hash                 asks for it, and does not show it
  pass show alice | postern password hash

Every request with a password costs the gateway this many iterations of HMAC-SHA-256, about a microsecond each in Wasm. A
password that people choose can be found by trying once the hash is known; let them use long ones, or give them API keys.")]
pub struct PasswordHash {
    /// What a guess costs, and every request too.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = basic::USUAL_ITERATIONS,
        value_parser = clap::value_parser!(u32).range(1000..=i64::from(basic::MOST_ITERATIONS))
    )]
    pub iterations: u32,
}

/// How `key` prints an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EntryFormat {
    /// For a configuration.
    Yaml,
    /// One JSON document.
    Json,
}

/// Options of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postern check
  postern check --config gateway.toml --deny-warnings
  postern check --format github          annotations in a pull request
  postern check --format json | jq '.problems[].message'

Exit codes: 0 no problem that counts, 1 problems, 2 wrong arguments")]
pub struct Check {
    #[command(flatten)]
    pub configuration: Configuration,

    /// How to show the problems.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ReportFormat,

    #[command(flatten)]
    pub lenience: Lenience,

    /// Fail on warnings as well.
    #[arg(long)]
    pub deny_warnings: bool,
}

/// Options of `compile`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postern compile --config gateway.yaml --out build/gateway.bin

Exit codes: 0 written, 1 problems in the configuration, 2 wrong arguments or an unwritable file")]
pub struct Compile {
    #[command(flatten)]
    pub configuration: Configuration,

    /// Where to write the compiled configuration.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,

    #[command(flatten)]
    pub lenience: Lenience,
}

/// Options of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postern explain GET https://api.example.com/files/a.txt
  postern explain POST https://api.example.com/orders -H 'X-Beta: yes' --client-address 10.1.2.3
  postern explain GET http://localhost/ --format json | jq .match.route

Exit codes: 0 a route answers, 1 none does, 2 wrong arguments or problems in the configuration")]
pub struct Explain {
    /// The method of the request.
    pub method: String,

    /// Its URL, with scheme and host.
    #[arg(value_hint = ValueHint::Url)]
    pub url: String,

    /// A header of the request; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,

    /// The address that the request comes from.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub client_address: IpAddr,

    /// The country that it comes from, as the platform would say: two letters.
    #[arg(long, value_name = "CODE")]
    pub country: Option<String>,

    /// The data centre that it reaches, as the platform would say: three letters.
    #[arg(long, value_name = "CODE")]
    pub data_centre: Option<String>,

    #[command(flatten)]
    pub configuration: Configuration,

    /// How to show the answer.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ExplanationFormat,
}

/// Options of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postern diff gateway.yaml next.yaml --traffic access.log
  git show main:gateway.yaml > old.yaml && postern diff old.yaml gateway.yaml --traffic access.log
  postern diff old.yaml new.yaml --traffic - --format json < access.log | jq .different

The log has lines of JSON as the gateway writes them (docs/observability.md), or the Common or Combined format, which do not
name the host: --host does. On Workers, this writes one until Ctrl-C:
  npx wrangler tail --format json | jq --unbuffered -r '.logs[].message[]' > access.log

Exit codes: 0 no request would be treated differently, 1 some would, 2 wrong arguments or problems in a configuration")]
pub struct Diff {
    /// The configuration of now.
    #[arg(value_hint = ValueHint::FilePath)]
    pub old: PathBuf,

    /// The configuration that is to take its place.
    #[arg(value_hint = ValueHint::FilePath)]
    pub new: PathBuf,

    /// The access log; `-` is standard input.
    #[arg(long, value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub traffic: PathBuf,

    /// Scheme and host of requests of which the log does not say it.
    #[arg(long, value_name = "URL", default_value = "http://localhost")]
    pub host: String,

    /// Where requests come from of which the log does not say it.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub client_address: IpAddr,

    /// How many requests of each kind are shown.
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    pub examples: usize,

    /// How to show what was found.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ExplanationFormat,
}

/// Options of `replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postern replay access.log --to https://staging.example.com
  postern replay access.log --to http://127.0.0.1:8080 --rate 100 --concurrency 32
  postern replay access.log --to http://127.0.0.1:8080 --as-recorded -H 'Authorization: Bearer …'

Values of queries that the log has redacted are sent as they stand there.

Exit codes: 0 every status is the log's, 1 some are not or no answer came, 2 wrong arguments")]
pub struct Replay {
    /// The access log, as for `diff`; `-` is standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    pub log: PathBuf,

    /// Where to send its requests: scheme and host, and perhaps a path that is put before theirs.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub to: String,

    /// How many to send in a second; by default as fast as answers come.
    #[arg(long, value_name = "NUMBER", conflicts_with = "as_recorded", value_parser = rate)]
    pub rate: Option<f64>,

    /// Send them at the pace at which they came.
    #[arg(long)]
    pub as_recorded: bool,

    /// How many are under way at once at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 8)]
    pub concurrency: usize,

    /// Send methods that change something as well, without bodies.
    #[arg(long)]
    pub all_methods: bool,

    /// A header for every request, in the place of the log's; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,

    /// Ask for the host of --to, instead of the one that the log says.
    #[arg(long)]
    pub own_host: bool,

    /// How long an answer may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout: u64,

    /// How many requests of each kind are shown.
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    pub examples: usize,

    /// How to show what came of it.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ExplanationFormat,
}

/// Options of `push`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  export POSTERN_ADMIN_URL=https://api.example.com/_postern POSTERN_ADMIN_TOKEN=…
  postern push                              for as many callers as the deployed configuration says
  postern push --percent 5 --watch          and show what becomes of it
  postern push --percent 100                for everybody at once, without a trial

Exit codes: 0 pushed (with --watch: it serves everybody), 1 problems in the configuration (with --watch: it was taken back),
2 wrong arguments, or the gateway does not answer or refuses")]
pub struct Push {
    #[command(flatten)]
    pub admin: AdminOptions,

    #[command(flatten)]
    pub configuration: Configuration,

    /// A compiled configuration to push as it is, instead of compiling one.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "file")]
    pub artefact: Option<PathBuf>,

    /// For how many of a hundred callers it serves at first; 100: for all of them at once.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub percent: Option<u8>,

    /// What to say of it where versions are listed.
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,

    /// Store it even if the gateway that answers cannot load it. Instances refuse it when it is to serve.
    #[arg(long)]
    pub force: bool,

    /// Show what happens until it serves everybody or nobody.
    #[arg(long)]
    pub watch: bool,

    /// How to show it.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ExplanationFormat,
}

/// Options of `status`.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 shown, 2 wrong arguments, or the gateway does not answer or refuses")]
pub struct Status {
    #[command(flatten)]
    pub admin: AdminOptions,

    /// While a version is on trial, show what happens until it serves everybody or nobody.
    #[arg(long)]
    pub watch: bool,

    /// How to show it.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ExplanationFormat,
}

/// Options of `rollback`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postern rollback --reason 'checkout is slow'
  postern rollback --to 5f0c6f29d1a3b4e7
  postern rollback --to bundled             what was deployed

Exit codes: 0 done, 2 wrong arguments, or the gateway does not answer or refuses")]
pub struct Rollback {
    #[command(flatten)]
    pub admin: AdminOptions,

    /// The version that is to serve everybody instead, or `bundled`: the configuration that was deployed.
    #[arg(long, value_name = "VERSION")]
    pub to: Option<String>,

    /// Why, for those who read it later.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,

    /// How to show how things stand then.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: ExplanationFormat,
}

/// Options of `sign`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  echo \"$SECRET\" | postern sign --key-id alice GET https://api.example.com/orders
  echo \"$SECRET\" | postern sign --key-id alice POST https://api.example.com/orders --data '{}' -H 'Content-Type: application/json'
  echo \"$SECRET\" | postern sign --key-id alice --style kong GET http://127.0.0.1:8080/orders | sh

Exit codes: 0 signed, 2 wrong arguments, or a secret that no gateway takes")]
pub struct Sign {
    /// The method of the request.
    pub method: String,

    /// Its URL, with scheme and host; the path is brought to its normal spelling.
    #[arg(value_hint = ValueHint::Url)]
    pub url: String,

    /// The identifier of the signer.
    #[arg(long, value_name = "ID")]
    pub key_id: String,

    /// Which signature: HTTP message signatures (RFC 9421), or the hmac scheme as clients of Kong or APISIX send it.
    #[arg(long, value_name = "STYLE", default_value = "message")]
    pub style: SignatureStyle,

    /// A header of the request; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,

    /// The body. Its digest is signed, too.
    #[arg(long, value_name = "TEXT")]
    pub data: Option<String>,

    /// What to sign besides method, URL and digest: a field's name, or a component of RFC 9421; may be repeated.
    #[arg(long = "component", value_name = "NAME")]
    pub components: Vec<String>,

    /// The tag of the signature.
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,

    /// Whether the secret is Base64 of its bytes.
    #[arg(long)]
    pub base64: bool,
}

/// Which signature to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SignatureStyle {
    /// HTTP message signatures (RFC 9421).
    Message,
    /// The hmac scheme of Kong.
    Kong,
    /// The hmac scheme of APISIX.
    Apisix,
}

/// Options of `init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postern init
  postern init --format toml
  postern init sites/shop/gateway.yaml

Exit codes: 0 written, 2 there is such a file already, or it cannot be written")]
pub struct Init {
    /// Where to write it; by default gateway.yaml, .toml or .json in the current folder.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,

    /// The language to write it in; by default the one of the file's name, or YAML.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Language>,
}

/// Options of `dev`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postern dev
  postern dev --config examples/quickstart/gateway.yaml --port 8080
  postern dev --runtime spin --port 0            any free port: the line `ready …` says which

Prints on standard output, for other programs to lean on:
  ready http://127.0.0.1:PORT        the gateway answers
  reloaded http://127.0.0.1:PORT     it answers with the changed configuration
Problems and the gateway's own log go to standard error.

Stops on Ctrl-C and on SIGTERM and leaves no process behind.

Exit codes: 0 stopped, 1 problems in the configuration at the start, 2 it could not be started or has died")]
pub struct Dev {
    #[command(flatten)]
    pub configuration: Configuration,

    /// The port to listen on, on 127.0.0.1 only; 0 takes a free one.
    #[arg(short, long, value_name = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// The runtime to run on.
    #[arg(long, value_name = "RUNTIME", default_value = "workers")]
    pub runtime: Runtime,

    /// What stands in the key-value store, as a JSON object: `{ "plan/group/staff": { "plan": "gold" } }`. Without it, the store
    /// is empty.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub store: Option<PathBuf>,

    /// What stands behind a binding of the Worker; may be repeated.
    ///
    /// An address of something that listens here (`ORDERS=http://127.0.0.1:9001`), or a module that becomes a second Worker
    /// (`ORDERS=worker.js`). On Spin there are no bindings.
    #[arg(long = "binding", value_name = "NAME=TARGET", value_parser = binding)]
    pub bindings: Vec<String>,
}

fn binding(text: &str) -> Result<String, String> {
    let (name, target) = text.split_once('=').unwrap_or((text, ""));
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let is_target = target.starts_with("http://") || target.ends_with(".js");
    if is_name && is_target {
        return Ok(text.to_owned());
    }
    Err("write the binding's name and what stands behind it: `ORDERS=http://127.0.0.1:9001` or `ORDERS=worker.js`"
        .into())
}

/// Options of `tail`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  export POSTERN_ADMIN_TOKEN=… POSTERN_ADMIN_URL=https://api.example.com/_postern
  postern tail --status 5xx
  postern tail --route orders --slower-than 500ms
  postern tail --json | jq -r '.[\"url.path\"]'

Exit codes: 0 stopped, 2 wrong arguments, or the gateway does not answer or refuses")]
pub struct Tail {
    #[command(flatten)]
    pub admin: AdminOptions,

    /// Only requests of this route.
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,

    /// Only answers with this status, or of this class: 404, 5xx.
    #[arg(long, value_name = "STATUS", value_parser = status)]
    pub status: Option<String>,

    /// Only those that took longer: 500ms, 2s.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub slower_than: Option<Duration>,

    /// Only those of this consumer.
    #[arg(long, value_name = "NAME")]
    pub consumer: Option<String>,

    /// Only those whose path begins so.
    #[arg(long, value_name = "PREFIX")]
    pub path_prefix: Option<String>,

    /// Only the latest failures, which are kept for longer than other requests.
    #[arg(long)]
    pub errors: bool,

    /// Print lines of the access log, one JSON document each (docs/access-log.schema.json).
    #[arg(long)]
    pub json: bool,

    /// With how many of those that have been to begin.
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub lines: u32,

    /// Show what is there, and stop.
    #[arg(long)]
    pub once: bool,

    /// How often to ask.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
}

/// Options of `top`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  export POSTERN_ADMIN_TOKEN=… POSTERN_ADMIN_URL=https://api.example.com/_postern
  postern top
  postern top --sort errors --window 15m
  postern top --once --json | jq '.routes[] | select(.errors > 0) | .route'

Exit codes: 0 stopped, 2 wrong arguments, or the gateway does not answer or refuses")]
pub struct Top {
    #[command(flatten)]
    pub admin: AdminOptions,

    /// Only this route.
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,

    /// How far to look back: at most 15m.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = window)]
    pub window: Duration,

    /// What comes first.
    #[arg(long, value_name = "COLUMN", default_value = "requests")]
    pub sort: SortBy,

    /// Print JSON, one document a line.
    #[arg(long)]
    pub json: bool,

    /// Show it once, and stop.
    #[arg(long)]
    pub once: bool,

    /// How often to ask.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    pub interval: Duration,
}

/// By what `top` sorts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// By requests.
    Requests,
    /// By answers of 5xx.
    Errors,
    /// By what the gateway has refused.
    Refused,
    /// By how long 95 % took at most.
    Latency,
}

fn status(text: &str) -> Result<String, String> {
    let (class, rest) = text.split_at_checked(1).unwrap_or(("", text));
    let is_rest = rest == "xx" || (rest.len() == 2 && rest.bytes().all(|b| b.is_ascii_digit()));
    if matches!(class, "1" | "2" | "3" | "4" | "5") && is_rest {
        return Ok(text.to_owned());
    }
    Err("a status like `404`, or a class like `5xx`".to_owned())
}

fn window(text: &str) -> Result<Duration, String> {
    time(text).and_then(|time| match time.as_secs() {
        10..=900 => Ok(time),
        _ => Err("from 10s to 15m".to_owned()),
    })
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct Configuration {
    /// The configuration to read: YAML, TOML or JSON, by its name.
    #[arg(short = 'c', long = "config", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}

/// What may be wrong without being told.
#[derive(Debug, Args)]
pub struct Lenience {
    /// Do not mention warnings of this kind; may be repeated.
    #[arg(long, value_name = "CODE", value_delimiter = ',', value_parser = warning_codes())]
    #[arg(hide_possible_values = true)]
    pub allow: Vec<String>,

    /// Mention only what this platform cannot do; by default, what any platform cannot.
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Runtime>,
}

/// How `check` shows problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// With excerpts, for people.
    Human,
    /// One JSON document.
    Json,
    /// Annotations for a workflow of GitHub.
    Github,
}

/// How `explain` shows its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExplanationFormat {
    /// For people.
    Human,
    /// One JSON document.
    Json,
}

/// A language that configurations are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// YAML.
    Yaml,
    /// TOML.
    Toml,
    /// JSON with comments.
    Json,
}

/// A place where the gateway runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// Cloudflare Workers.
    Workers,
    /// Spin.
    Spin,
}

impl From<Runtime> for gateway_core::config::Runtime {
    fn from(runtime: Runtime) -> Self {
        match runtime {
            Runtime::Workers => Self::Workers,
            Runtime::Spin => Self::Spin,
        }
    }
}

/// What `admin` can do.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  export POSTERN_ADMIN_TOKEN=… POSTERN_ADMIN_URL=https://api.example.com/_postern
  postern admin drain origin one --reason 'a new disk'
  postern admin maintenance orders --retry-after 600
  postern admin revoke --prefix pk_7fQ2
  postern admin audit")]
pub enum Operate {
    /// Send a target no more requests; what is under way goes on.
    Drain {
        #[command(flatten)]
        admin: AdminOptions,
        /// The upstream's name.
        upstream: String,
        /// The target's name, or its host and port.
        target: String,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Send a target requests again.
    Undrain {
        #[command(flatten)]
        admin: AdminOptions,
        /// The upstream's name.
        upstream: String,
        /// The target's name, or its host and port.
        target: String,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Answer 503 to every request of a route, until it is over.
    Maintenance {
        #[command(flatten)]
        admin: AdminOptions,
        /// The route's name.
        route: String,
        /// It is over.
        #[arg(long, conflicts_with = "retry_after")]
        over: bool,
        /// After how many seconds clients should come back.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
        retry_after: Option<u64>,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Refuse an API key from now on.
    Revoke {
        #[command(flatten)]
        admin: AdminOptions,
        #[command(flatten)]
        key: RevokedKey,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Take an API key again that has been revoked here.
    Restore {
        #[command(flatten)]
        admin: AdminOptions,
        #[command(flatten)]
        key: RevokedKey,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Show the API keys that have been revoked here.
    Keys {
        #[command(flatten)]
        admin: AdminOptions,
    },
    /// Show what was changed, and by whom.
    Audit {
        #[command(flatten)]
        admin: AdminOptions,
        /// How many lines.
        #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
        lines: u32,
        /// Print lines of JSON.
        #[arg(long)]
        json: bool,
    },
}

/// An API key, by what is known of it.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct RevokedKey {
    /// Read the key itself from standard input.
    #[arg(long)]
    pub stdin: bool,
    /// Its SHA-256, as the configuration has it.
    #[arg(long, value_name = "HEX")]
    pub hash: Option<String>,
    /// What logs show of it.
    #[arg(long, value_name = "TEXT")]
    pub prefix: Option<String>,
    /// As `postern admin keys` shows it; only to restore.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
}

/// Options of `purge`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  export POSTERN_ADMIN_TOKEN=… POSTERN_ADMIN_URL=https://api.example.com/_postern
  postern purge --tag products --soft
  postern purge --prefix https://api.example.com/files/
  postern purge --everything")]
pub struct Purge {
    #[command(flatten)]
    pub admin: AdminOptions,
    /// What is stored for an address; may be repeated.
    #[arg(long = "address", value_name = "ADDRESS")]
    pub urls: Vec<String>,
    /// What is stored for addresses that begin so; may be repeated.
    #[arg(long = "prefix", value_name = "ADDRESS")]
    pub prefixes: Vec<String>,
    /// What has this tag; may be repeated.
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// All of it.
    #[arg(long)]
    pub everything: bool,
    /// It is only stale from then on, and not gone.
    #[arg(long)]
    pub soft: bool,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Which gateway. The token comes from POSTERN_ADMIN_TOKEN.
#[derive(Debug, Args)]
pub struct AdminOptions {
    /// Where the admin interface is, its path included; also POSTERN_ADMIN_URL.
    #[arg(long, value_name = "URL", env = "POSTERN_ADMIN_URL", value_hint = ValueHint::Url)]
    pub url: String,

    /// Send the token over http to other machines, too.
    #[arg(long)]
    pub insecure: bool,
}

/// Prints the completions for a shell.
pub fn completions(shell: Shell) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "postern", &mut script);
    io::Write::write_all(&mut io::stdout(), &script)?;
    Ok(Outcome::Fine)
}

fn warning_codes() -> clap::builder::PossibleValuesParser {
    WARNINGS
        .iter()
        .map(|warning| clap::builder::PossibleValue::new(warning.code).help(warning.about))
        .collect::<Vec<_>>()
        .into()
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is written as `Name: value`")?;
    if name.is_empty() || name.contains(|c: char| c.is_ascii_whitespace() || c.is_control()) {
        return Err(format!("`{name}` is no header name"));
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "a number above 0".to_owned())
}

fn consumer(text: &str) -> Result<String, String> {
    formats::check("Name", text).map(|()| text.to_owned())
}

fn moment(text: &str) -> Result<String, String> {
    formats::check("Moment", text).map(|()| text.to_owned())
}

fn key_prefix(text: &str) -> Result<String, String> {
    formats::check("KeyPrefix", text).map(|()| text.to_owned())
}

fn key_hash(text: &str) -> Result<String, String> {
    formats::check("KeyHash", text).map(|()| text.to_owned())
}

fn key_kind(text: &str) -> Result<String, String> {
    if (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(text.to_owned());
    }
    Err("letters and digits, at most 8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
