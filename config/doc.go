// Package config holds every setting of Anteroom in one struct.
//
// A configuration comes from three places, the later one winning: Default, one
// YAML file, and environment variables (ANTEROOM_ and the key in capitals with
// underscores: smtp.host is ANTEROOM_SMTP_HOST). A secret may be written into a
// file of its own, named by the key with _file at its end: smtp.password_file.
//
// Reading is strict: an unknown key, a wrong type or a value out of range is a
// mistake, and Load reports all of them at once, each with its line and its fix.
// The table in settings.go is the one list of keys; the file that "anteroom init"
// writes and docs/configuration.md are made from it.
package config
