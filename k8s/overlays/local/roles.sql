-- Run once by the image, as its superuser, when its directory is empty: the role that owns the schema
-- and migrates, the role of the pods that serve, and their database (docs/security.md).
-- `rtchat migrate --grant rtchat` gives the pods' role what it needs.
\set ON_ERROR_STOP on
\set owner `cat /run/secrets/stores/owner-password`
\set pods `cat /run/secrets/stores/rtchat-password`
CREATE ROLE rtchat_owner LOGIN PASSWORD :'owner';
CREATE ROLE rtchat LOGIN PASSWORD :'pods';
CREATE DATABASE rtchat OWNER rtchat_owner;
