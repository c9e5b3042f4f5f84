-- Networks with IPv6: a second subnet beside the first, and a second address of each endpoint.
-- Old code ignores the new columns. What it plugs into such a network meanwhile has no IPv6 address, and needs none.

ALTER TABLE networks ADD COLUMN subnet6 cidr; -- NULL: an IPv4 network
ALTER TABLE networks ADD COLUMN gateway6 inet;
ALTER TABLE networks ADD COLUMN ip_range6 cidr;
ALTER TABLE networks ADD COLUMN auxiliary6 jsonb NOT NULL DEFAULT '{}';
ALTER TABLE networks ADD CONSTRAINT networks_ipv6_check
    CHECK ((subnet6 IS NULL) = (gateway6 IS NULL) AND (ip_range6 IS NULL OR subnet6 IS NOT NULL));
-- Which /64s of the operator's pool somebody has; tenants' subnets may overlap, but need not.
CREATE INDEX networks_subnet6_idx ON networks (subnet6) WHERE subnet6 IS NOT NULL;

ALTER TABLE endpoints ADD COLUMN address6 inet; -- NULL in IPv4 networks
ALTER TABLE endpoints ADD CONSTRAINT endpoints_address6_unique UNIQUE (network_id, address6);

-- An IPv6 address for an endpoint: as far into its subnet as the IPv4 address is into its own, which is easy to read and
-- free unless somebody has asked for it; else, and where there is a range, any of a random choice. NULL: none was found.
CREATE FUNCTION address6_of(n networks, address inet) RETURNS inet LANGUAGE sql VOLATILE AS $$
    SELECT p.address FROM (
        SELECT 0 AS place,
            set_masklen(network(n.subnet6)::inet, 128) + (address - set_masklen(network(n.subnet)::inet, 32)) AS address
        UNION ALL
        SELECT g, set_masklen(network(pool)::inet, 128) + floor(random() * (1::bigint << least(128 - masklen(pool), 48)))::bigint
        FROM generate_series(1, 16) g, coalesce(n.ip_range6, n.subnet6) pool
    ) p
    WHERE p.address <<= coalesce(n.ip_range6, n.subnet6) AND p.address <> n.gateway6
      AND p.address <> set_masklen(network(n.subnet6)::inet, 128)
      AND NOT EXISTS (SELECT FROM jsonb_each_text(n.auxiliary6) a WHERE a.value::inet = p.address)
      AND NOT EXISTS (SELECT FROM endpoints e WHERE e.network_id = n.id AND e.address6 = p.address OFFSET 0)
    ORDER BY p.place LIMIT 1
$$;

-- As `inspect` and hosts are given it; NULL where the endpoint has none.
CREATE FUNCTION endpoint_ipv6(n networks, address inet) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN address IS NOT NULL THEN json_build_object(
        'subnet', n.subnet6::text, 'gateway', host(n.gateway6), 'address', host(address)) END
$$;
