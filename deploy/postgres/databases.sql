-- Run once, when the volume is empty: one database for each service that has one.
CREATE DATABASE users;
CREATE DATABASE mail;
