//! One statement: its text, its arguments and the place it will run. Text is `&'static str` with `$1` placeholders, so
//! that user input cannot become SQL; both drivers take that form.

use super::{Json, Result};
use crate::failpoints::Failpoints;
use serde::{Serialize, Serializer};
use serde_json::Value;
use sqlx::{
    Arguments, AssertSqlSafe, Encode, FromRow, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection,
    SqlitePool, Type,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};
use std::{borrow::Cow, fmt::Write};

/// What both drivers can encode.
pub(crate) trait Plain<'q>:
    Encode<'q, Sqlite> + Type<Sqlite> + Encode<'q, Postgres> + Type<Postgres>
{
}
impl<'q, T: Encode<'q, Sqlite> + Type<Sqlite> + Encode<'q, Postgres> + Type<Postgres>> Plain<'q> for T {}

/// A value to bind. PostgreSQL's text and JSON have no NUL, and people send it: it is left out on both engines, so that
/// a hostile name cannot stop an import on one of them.
pub(crate) trait Arg<'q> {
    type Plain: Plain<'q>;
    fn plain(self) -> Self::Plain;
}

macro_rules! args {
    ($($type:ty => $plain:ty, |$value:ident| $how:expr;)+) => {$(
        impl<'q> Arg<'q> for $type {
            type Plain = $plain;
            fn plain(self) -> $plain {
                let $value = self;
                $how
            }
        }
    )+};
}
args! {
    i64 => i64, |n| n;
    Option<i64> => Option<i64>, |n| n;
    bool => bool, |b| b;
    &'q [u8] => &'q [u8], |bytes| bytes;
    &'q Vec<u8> => &'q [u8], |bytes| bytes;
    Vec<u8> => Vec<u8>, |bytes| bytes;
    &str => String, |text| text.replace('\0', "");
    &String => String, |text| text.replace('\0', "");
    String => String, |text| if text.contains('\0') { text.replace('\0', "") } else { text };
    Option<&str> => Option<String>, |text| text.map(Arg::plain);
    Option<String> => Option<String>, |text| text.map(Arg::plain);
    &Option<String> => Option<String>, |text| text.as_deref().map(Arg::plain);
}

impl<'q, T: Serialize> Arg<'q> for Json<&T> {
    type Plain = Json<Value>;
    fn plain(self) -> Json<Value> {
        let mut value = serde_json::to_value(self.0).expect("our own types are JSON");
        remove_nul(&mut value);
        Json(value)
    }
}

impl<'q, T: Serialize> Arg<'q> for Option<Json<&T>> {
    type Plain = Option<Json<Value>>;
    fn plain(self) -> Option<Json<Value>> {
        self.map(Arg::plain)
    }
}

fn remove_nul(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', ""),
        Value::Array(values) => values.iter_mut().for_each(remove_nul),
        Value::Object(fields) => fields.values_mut().for_each(remove_nul),
        _ => {}
    }
}

/// A row both drivers can produce: a tuple, or a struct that derives `FromRow`.
pub(crate) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}
impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for T {}

enum On<'c> {
    SqlitePool(&'c SqlitePool, SqliteArguments),
    SqliteTx(&'c mut SqliteConnection, SqliteArguments),
    PgPool(&'c PgPool, PgArguments),
    PgTx(&'c mut PgConnection, PgArguments),
}

#[must_use]
pub(crate) struct Sql<'c> {
    text: Cow<'static, str>,
    on: On<'c>,
    /// Of a statement that commits on its own.
    points: Option<Failpoints>,
    /// Whether the drivers keep it prepared.
    kept: bool,
}

/// Builds the driver's query for whichever engine the statement is attached to, and runs it; on PostgreSQL with a limit
/// on the wait.
macro_rules! dispatch {
    ($self:ident, $make:ident $(::<$t:ty>)?, $fetch:ident $(, $map:expr)?) => {{
        let text = AssertSqlSafe($self.text);
        let (points, kept) = ($self.points, $self.kept);
        if let Some(points) = &points {
            points.before_commit()?;
        }
        let done = match $self.on {
            On::SqlitePool(c, a) => sqlx::$make::<_, $($t,)? _>(text, a).persistent(kept).$fetch(c).await $(.map($map))?,
            On::SqliteTx(c, a) => sqlx::$make::<_, $($t,)? _>(text, a).persistent(kept).$fetch(c).await $(.map($map))?,
            On::PgPool(c, a) => in_time(sqlx::$make::<_, $($t,)? _>(text, a).persistent(kept).$fetch(c)).await $(.map($map))?,
            On::PgTx(c, a) => in_time(sqlx::$make::<_, $($t,)? _>(text, a).persistent(kept).$fetch(c)).await $(.map($map))?,
        }?;
        if let Some(points) = &points {
            points.after_commit()?;
        }
        Ok(done)
    }};
}

/// Waits for PostgreSQL as long as somebody who waits for an answer can be made to. A server that stands still, or a
/// network that swallows everything, would hold the caller for ever. What is given up here leaves its connection in the
/// middle of an answer: the pool's own checks drop it.
pub(super) async fn in_time<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let late = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(super::STATEMENT, work).await.unwrap_or_else(|_| Err(late()))
}

impl<'c> Sql<'c> {
    pub fn on_sqlite(pool: &'c SqlitePool, text: &'static str) -> Self {
        Self { text: text.into(), on: On::SqlitePool(pool, Default::default()), points: None, kept: true }
    }

    pub fn on_postgres(pool: &'c PgPool, text: &'static str) -> Self {
        Self { text: text.into(), on: On::PgPool(pool, Default::default()), points: None, kept: true }
    }

    pub fn in_sqlite(tx: &'c mut SqliteConnection, text: &'static str) -> Self {
        Self { text: text.into(), on: On::SqliteTx(tx, Default::default()), points: None, kept: true }
    }

    pub fn in_postgres(tx: &'c mut PgConnection, text: &'static str) -> Self {
        Self { text: text.into(), on: On::PgTx(tx, Default::default()), points: None, kept: true }
    }

    /// The statement commits on its own.
    pub fn committing(mut self, points: &Failpoints) -> Self {
        self.points = Some(points.clone());
        self
    }

    /// Is planned for its values each time: PostgreSQL would soon use one plan for frequent and rare ones alike.
    pub fn planned_anew(mut self) -> Self {
        self.kept = false;
        self
    }

    /// Binds the next `$n`.
    pub fn bind<'q>(mut self, value: impl Arg<'q>) -> Self {
        let value = value.plain();
        let added = match &mut self.on {
            On::SqlitePool(_, a) | On::SqliteTx(_, a) => a.add(value),
            On::PgPool(_, a) | On::PgTx(_, a) => a.add(value),
        };
        added.expect("text, numbers, bytes and JSON of our own types always encode");
        self
    }

    /// Appends literal SQL.
    pub fn push(mut self, text: &'static str) -> Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// Appends `$n` and binds it.
    pub fn arg<'q>(self, value: impl Arg<'q>) -> Self {
        let mut sql = self.bind(value);
        let n = match &sql.on {
            On::SqlitePool(_, a) | On::SqliteTx(_, a) => a.len(),
            On::PgPool(_, a) | On::PgTx(_, a) => a.len(),
        };
        let _ = write!(sql.text.to_mut(), "${n}");
        sql
    }

    /// ` AND <test> $n` when there is a value.
    pub fn and<'q>(self, test: &'static str, value: Option<impl Arg<'q>>) -> Self {
        match value {
            Some(value) => self.push(" AND ").push(test).push(" ").arg(value),
            None => self,
        }
    }

    /// `($1, $2, …)`. An empty list matches nothing.
    pub fn list<'q, T: Arg<'q>>(self, values: impl IntoIterator<Item = T>) -> Self {
        let mut sql = self.push("(");
        let mut any = false;
        for value in values {
            sql = sql.push(if any { ", " } else { "" }).arg(value);
            any = true;
        }
        sql.push(if any { ")" } else { "NULL)" })
    }

    /// `(SELECT … ) v`: rows as a table with the columns `column1`, `column2` and so on. One text, and few arguments,
    /// whatever the number of rows: both drivers keep it prepared, and PostgreSQL plans it once. With no rows at all there
    /// are no columns either; callers ask first.
    pub fn table<T, const N: usize>(self, of: &[T], row: impl Fn(&T) -> [Cell; N]) -> Self {
        let rows: Vec<[Cell; N]> = of.iter().map(row).collect();
        match &self.on {
            On::SqlitePool(..) | On::SqliteTx(..) => self.json_table(&rows),
            On::PgPool(..) | On::PgTx(..) => self.unnested(rows),
        }
    }

    /// SQLite has no arrays, but JSON.
    fn json_table<const N: usize>(mut self, rows: &[[Cell; N]]) -> Self {
        for column in 0..N {
            let is_bytes = matches!(rows.first(), Some(row) if matches!(row[column], Cell::Bytes(_)));
            let (open, close) = if is_bytes { ("unhex(", ")") } else { ("", "") };
            let start = if column == 0 { "(SELECT " } else { ", " };
            let _ =
                write!(self.text.to_mut(), "{start}{open}value ->> {column}{close} AS column{}", column + 1);
        }
        let rows: Vec<&[Cell]> = rows.iter().map(<[Cell; N]>::as_slice).collect();
        let json = serde_json::to_string(&rows).expect("text, numbers and JSON always encode");
        self.push(" FROM json_each(").arg(json).push(")) v")
    }

    fn unnested<const N: usize>(self, rows: Vec<[Cell; N]>) -> Self {
        let mut columns: [Vec<Cell>; N] = std::array::from_fn(|_| Vec::with_capacity(rows.len()));
        for row in rows {
            for (column, cell) in columns.iter_mut().zip(row) {
                column.push(cell);
            }
        }
        let mut sql = self.push("(SELECT * FROM UNNEST(");
        for (n, column) in columns.into_iter().enumerate() {
            sql = sql.push(if n == 0 { "" } else { ", " }).array(column);
        }
        for n in 1..=N {
            let start = if n == 1 { ") AS u(" } else { ", " };
            let _ = write!(sql.text.to_mut(), "{start}column{n}");
        }
        sql.push(")) v")
    }

    /// A column as PostgreSQL's array; its first cell says of what.
    fn array(mut self, cells: Vec<Cell>) -> Self {
        macro_rules! values {
            ($kind:ident) => {
                cells
                    .into_iter()
                    .map(|cell| match cell {
                        Cell::$kind(value) => value,
                        _ => None,
                    })
                    .collect::<Vec<_>>()
            };
        }
        let (On::PgPool(_, arguments) | On::PgTx(_, arguments)) = &mut self.on else { return self };
        let (added, kind) = match cells.first() {
            None | Some(Cell::Text(_)) => (arguments.add(values!(Text)), "TEXT"),
            Some(Cell::Int(_)) => (arguments.add(values!(Int)), "BIGINT"),
            Some(Cell::Bytes(_)) => (arguments.add(values!(Bytes)), "BYTEA"),
            Some(Cell::Json(_)) => (arguments.add(values!(Json)), "JSONB"),
        };
        added.expect("text, numbers, bytes and JSON of our own types always encode");
        let n = arguments.len();
        let _ = write!(self.text.to_mut(), "${n}::{kind}[]");
        self
    }

    /// The number of rows changed.
    pub async fn run(self) -> Result<u64> {
        dispatch!(self, query_with, execute, |r| r.rows_affected())
    }

    pub async fn all<T: Row>(self) -> Result<Vec<T>> {
        dispatch!(self, query_as_with::<T>, fetch_all)
    }

    pub async fn one<T: Row>(self) -> Result<T> {
        dispatch!(self, query_as_with::<T>, fetch_one)
    }

    pub async fn opt<T: Row>(self) -> Result<Option<T>> {
        dispatch!(self, query_as_with::<T>, fetch_optional)
    }

    /// The one column of the one row.
    pub async fn value<T>(self) -> Result<T>
    where
        (T,): Row,
    {
        Ok(self.one::<(T,)>().await?.0)
    }
}

/// A value of a [`Sql::table`]. All of a column are of one kind, which NULL has too.
pub(crate) enum Cell {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Json(Option<Json<Value>>),
}

/// As SQLite reads it out of JSON: bytes in hexadecimal, JSON as the text that its columns hold.
impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Int(n) => n.serialize(to),
            Self::Text(text) => text.serialize(to),
            Self::Bytes(bytes) => bytes.as_ref().map(hex::encode).serialize(to),
            Self::Json(json) => json.as_ref().map(|json| json.0.to_string()).serialize(to),
        }
    }
}

macro_rules! cells {
    ($($type:ty => $kind:ident, |$value:ident| $how:expr;)+) => {$(
        impl From<$type> for Cell {
            fn from($value: $type) -> Self {
                Self::$kind($how)
            }
        }
    )+};
}
cells! {
    i64 => Int, |n| Some(n);
    Option<i64> => Int, |n| n;
    &str => Text, |text| Some(text.plain());
    &String => Text, |text| Some(text.plain());
    String => Text, |text| Some(text.plain());
    Option<&str> => Text, |text| text.plain();
    &Option<String> => Text, |text| text.plain();
    &[u8] => Bytes, |bytes| Some(bytes.to_vec());
    &Vec<u8> => Bytes, |bytes| Some(bytes.clone());
    Vec<u8> => Bytes, |bytes| Some(bytes);
}

impl<T: Serialize> From<Json<&T>> for Cell {
    fn from(json: Json<&T>) -> Self {
        Self::Json(Some(json.plain()))
    }
}

impl<T: Serialize> From<Option<Json<&T>>> for Cell {
    fn from(json: Option<Json<&T>>) -> Self {
        Self::Json(json.plain())
    }
}
