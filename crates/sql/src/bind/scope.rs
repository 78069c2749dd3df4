//! Names in sight: the columns of what stands in FROM, in the order of the joined row.

use expr::{SqlError, SqlState, Type};

/// Columns that names may mean.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// In the order of the row.
    pub columns: Vec<ScopeColumn>,
}

/// A column in sight.
#[derive(Clone, Debug)]
pub struct ScopeColumn {
    /// The name its table goes by.
    pub relation: String,
    /// Its own name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Whether `*` leaves it out: row ids, and the second of two columns that USING made one.
    pub hidden: bool,
    /// Whether an unqualified name does not mean it: the second column of USING.
    pub shadowed: bool,
}

impl Scope {
    /// The joined row of two.
    pub fn join(mut self, right: Scope) -> Result<Scope, SqlError> {
        for column in &right.columns {
            let twice = self.columns.iter().any(|known| known.relation == column.relation);
            if twice && !column.relation.is_empty() {
                return Err(SqlError::new(
                    SqlState::DUPLICATE_ALIAS,
                    format!("table name \"{}\" specified more than once", column.relation),
                ));
            }
        }
        self.columns.extend(right.columns);
        Ok(self)
    }

    /// The column that a name means: its position and type.
    pub fn find(&self, relation: Option<&str>, name: &str) -> Result<(u32, Type), SqlError> {
        let fits = |column: &ScopeColumn| {
            column.name == name
                && relation.map_or(!column.shadowed, |relation| column.relation == relation)
        };
        let mut found = self.columns.iter().enumerate().filter(|(_, column)| fits(column));
        match (found.next(), found.next()) {
            (Some((position, column)), None) => {
                Ok((u32::try_from(position).expect("columns are few"), column.ty))
            }
            (Some(_), Some(_)) => Err(SqlError::new(
                SqlState::AMBIGUOUS_COLUMN,
                format!("column reference \"{name}\" is ambiguous"),
            )),
            (None, _) => Err(self.missing(relation, name)),
        }
    }

    fn missing(&self, relation: Option<&str>, name: &str) -> SqlError {
        let Some(relation) = relation else {
            return SqlError::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{name}\" does not exist"),
            );
        };
        if self.columns.iter().any(|column| column.relation == relation) {
            SqlError::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column {relation}.{name} does not exist"),
            )
        } else {
            SqlError::new(
                SqlState::UNDEFINED_TABLE,
                format!("missing FROM-clause entry for table \"{relation}\""),
            )
        }
    }

    /// Positions of the columns that `*` or `relation.*` stands for.
    pub fn wildcard(&self, relation: Option<&str>) -> Result<Vec<u32>, SqlError> {
        let known = |relation: &str| self.columns.iter().any(|c| c.relation == relation);
        if let Some(relation) = relation
            && !known(relation)
        {
            return Err(self.missing(Some(relation), "*"));
        }
        Ok(self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !column.hidden || (column.shadowed && relation.is_some()))
            .filter(|(_, column)| relation.is_none_or(|relation| column.relation == relation))
            .map(|(position, _)| u32::try_from(position).expect("columns are few"))
            .collect())
    }

    /// How wide the row is.
    pub fn width(&self) -> usize {
        self.columns.len()
    }
}
