//! Functions about the session, ids and types.

use super::Func;
use crate::{
    context::{EvalContext, SettingScope},
    datum::Datum,
    error::{Result, SqlError, SqlState},
    types::{Element, Type},
};

/// `None`: the arguments are none the function takes.
pub(super) fn call(func: Func, args: &[Datum], ctx: &EvalContext) -> Result<Option<Datum>> {
    let session = &ctx.session;
    Ok(Some(match (func, args) {
        (Func::GenRandomUuid, []) => {
            let hooks = ctx.hooks("gen_random_uuid()")?;
            let bits = u128::from(hooks.random()) << 64 | u128::from(hooks.random());
            let id = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
            Datum::Uuid(id.into_bytes())
        }
        (Func::Version, []) => Datum::text(&session.version),
        (Func::CurrentUser, []) => Datum::text(&session.user),
        (Func::SessionUser, []) => Datum::text(&session.session_user),
        (Func::CurrentDatabase, []) => Datum::text(&session.database),
        (Func::CurrentSchema, []) => session.search_path.first().cloned().into(),
        (Func::CurrentSchemas, [Datum::Bool(implicit)]) => {
            let system = implicit.then(|| Datum::text("pg_catalog"));
            let named = session.search_path.iter().map(Datum::text);
            Datum::array(Element::Name, system.into_iter().chain(named).collect())
        }
        (Func::CurrentSetting, [Datum::Text(name), rest @ ..]) => {
            let missing_ok = matches!(rest, [Datum::Bool(true)]);
            match ctx.hooks("current_setting")?.setting(name) {
                Some(value) => Datum::text(value),
                None if missing_ok => Datum::Null,
                None => {
                    return Err(SqlError::new(
                        SqlState::UNDEFINED_OBJECT,
                        format!("unrecognized configuration parameter \"{name}\""),
                    ));
                }
            }
        }
        (Func::SetConfig, [Datum::Text(name), value, local]) => {
            let local = local.as_bool().unwrap_or(false);
            let scope = if local { SettingScope::Transaction } else { SettingScope::Session };
            let value = value.as_text().unwrap_or_default();
            Datum::text(ctx.hooks("set_config")?.set_setting(name, value, scope)?)
        }
        (Func::SetConfig, [Datum::Null, ..]) => {
            return Err(SqlError::new(SqlState::new("22004"), "SET requires parameter name"));
        }
        (Func::PgBackendPid, []) => Datum::from(session.backend_pid),
        (Func::FormatType, [Datum::Null, _]) => Datum::Null,
        (Func::FormatType, [Datum::Int(oid), typmod]) => format_type(*oid, typmod.as_int()),
        _ => return Ok(None),
    }))
}

fn format_type(oid: i64, typmod: Option<i64>) -> Datum {
    if oid == 0 {
        return Datum::text("-");
    }
    let oid = u32::try_from(oid).ok();
    let typmod = typmod.and_then(|typmod| i32::try_from(typmod).ok()).unwrap_or(-1);
    let found = oid.and_then(|oid| Type::from_oid(oid, typmod));
    found.map_or_else(|| Datum::text("???"), |ty| Datum::text(ty.to_string()))
}
