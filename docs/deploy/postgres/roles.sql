-- Run once by the image, as its superuser, when its directory is empty: the role that owns the schema
-- and migrates, the role of the pods, and their database (docs/security.md). The passwords are those
-- of the URLs that rtchat gets. `rtchat migrate --grant rtchat` then gives the pods what they need.
\set ON_ERROR_STOP on
\set owner_url `cat "${SECRETS_PATH:-/run/secrets}/migrate_url"`
\set pods_url `cat "${SECRETS_PATH:-/run/secrets}/database_url"`
SELECT coalesce(substring(:'owner_url' FROM '^postgresql://rtchat_owner:([^@:/?%]+)@'), '') AS owner,
       coalesce(substring(:'pods_url' FROM '^postgresql://rtchat:([^@:/?%]+)@'), '') AS pods
\gset
SELECT :'owner' <> '' AND :'pods' <> '' AS found \gset
\if :found
\else
DO $$ BEGIN RAISE 'migrate_url is to be postgresql://rtchat_owner:PASSWORD@…, database_url postgresql://rtchat:PASSWORD@…, the passwords of letters and digits'; END $$;
\endif
CREATE ROLE rtchat_owner LOGIN PASSWORD :'owner';
CREATE ROLE rtchat LOGIN PASSWORD :'pods';
CREATE DATABASE rtchat OWNER rtchat_owner;
REVOKE ALL ON DATABASE rtchat FROM PUBLIC;
GRANT CONNECT ON DATABASE rtchat TO rtchat;
