-- Networks that tenants make themselves, and what a container asked for in each.
-- Old code ignores the new columns; their defaults are right for its rows.

-- Addresses are taken from `ip_range` where it is given, never one of `auxiliary` (name -> address).
ALTER TABLE networks ADD COLUMN ip_range cidr;
ALTER TABLE networks ADD COLUMN auxiliary jsonb NOT NULL DEFAULT '{}';
-- The subnet was chosen by the tenant: `inspect` shows it either way, a re-creation keeps to it.
ALTER TABLE networks ADD COLUMN subnet_given boolean NOT NULL DEFAULT false;

-- The address was asked for (`--ip`): shown as IPAMConfig.
ALTER TABLE endpoints ADD COLUMN address_given boolean NOT NULL DEFAULT false;

-- DNS answers for running containers: other hosts must hear when one starts or ends. A trigger, because a container's
-- status is written in several statements and none of them may forget it.
CREATE FUNCTION networks_hear_of_container() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE networks n SET generation = n.generation + 1
    WHERE n.tenant_id = NEW.tenant_id
      AND n.id IN (SELECT e.network_id FROM endpoints e WHERE e.tenant_id = NEW.tenant_id AND e.container_id = NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER containers_networks_hear AFTER UPDATE OF status ON containers FOR EACH ROW
    WHEN ((OLD.status IN ('running', 'paused')) <> (NEW.status IN ('running', 'paused')))
    EXECUTE FUNCTION networks_hear_of_container();
