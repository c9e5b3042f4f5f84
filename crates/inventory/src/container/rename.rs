//! `docker rename`.

use domain::{ContainerId, ContainerName, Error, Kind, Result};

use crate::{TenantView, failure, reserve};

/// DNS answers by name: hosts converge on the networks' generation.
const RENAME: &str = "WITH t AS (
        UPDATE tenants SET revision = revision + 1 WHERE id = $1 RETURNING id
    ), heard AS (
        UPDATE networks n SET generation = n.generation + 1 FROM t
        WHERE n.tenant_id = t.id
          AND n.id IN (SELECT network_id FROM endpoints WHERE tenant_id = $1 AND container_id = $2)
    )
    UPDATE containers c SET name = $3 FROM t WHERE c.tenant_id = t.id AND c.id = $2";

impl TenantView {
    /// `Conflict` in dockerd's words where the name is taken. To its own name: nothing happens.
    pub async fn rename(&self, id: &ContainerId, name: &ContainerName) -> Result<()> {
        let query = || sqlx::query(RENAME).bind(self.id.0).bind(id.as_str()).bind(name.as_str()).execute(&self.pool);
        let mut attempts = 0;
        loop {
            attempts += 1;
            return match query().await {
                Ok(done) if done.rows_affected() == 0 => Err(Error::not_found(Kind::Container, id.as_str())),
                Ok(_) => Ok(()),
                Err(e) if failure::violated(&e) == Some("containers_name_unique") => {
                    Err(reserve::name_taken(&self.pool, self.id, name).await)
                }
                Err(e) if attempts < 3 && failure::may_pass(&e) => continue,
                Err(e) => Err(failure::translate("rename a container", e)),
            };
        }
    }
}
