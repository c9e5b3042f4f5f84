//! `docker rename`.

use domain::{ContainerId, ContainerName, Error, Kind, Result};

use crate::{
    TenantView, failure, reserve,
    sql::{container_attributes, now_ns},
};

/// DNS answers by name: hosts converge on the networks' generation.
const RENAME: &str = concat!(
    "WITH t AS (
        UPDATE tenants SET revision = revision + 1 WHERE id = $1 RETURNING id
    ), heard AS (
        UPDATE networks n SET generation = n.generation + 1 FROM t
        WHERE n.tenant_id = t.id
          AND n.id IN (SELECT network_id FROM endpoints WHERE tenant_id = $1 AND container_id = $2)
    ), old AS MATERIALIZED (
        SELECT c.name FROM t JOIN containers c ON c.tenant_id = t.id AND c.id = $2 FOR UPDATE OF c
    ), renamed AS (
        UPDATE containers c SET name = $3 FROM old WHERE c.tenant_id = $1 AND c.id = $2
        RETURNING c.id, c.labels, c.image_reference, c.name, old.name AS old_name
    ), told AS (
        INSERT INTO events (tenant_id, at_ns, type, action, actor, attributes)
        SELECT $1, ",
    now_ns!(),
    ", 'container', 'rename', c.id, ",
    container_attributes!(),
    " || jsonb_build_object('oldName', '/' || c.old_name)
        FROM renamed c WHERE c.old_name <> c.name
    )
    SELECT id FROM renamed"
);

impl TenantView {
    /// `Conflict` in dockerd's words where the name is taken. To its own name: nothing happens.
    pub async fn rename(&self, id: &ContainerId, name: &ContainerName) -> Result<()> {
        let query = || sqlx::query(RENAME).bind(self.id.0).bind(id.as_str()).bind(name.as_str()).fetch_all(&self.pool);
        let mut attempts = 0;
        loop {
            attempts += 1;
            return match query().await {
                Ok(rows) if rows.is_empty() => Err(Error::not_found(Kind::Container, id.as_str())),
                Ok(_) => {
                    self.bell.ring();
                    Ok(())
                }
                Err(e) if failure::violated(&e) == Some("containers_name_unique") => {
                    Err(reserve::name_taken(&self.pool, self.id, name).await)
                }
                Err(e) if attempts < 3 && failure::may_pass(&e) => continue,
                Err(e) => Err(failure::translate("rename a container", e)),
            };
        }
    }
}
