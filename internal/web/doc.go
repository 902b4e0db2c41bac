// Package web is the plumbing of every request: handlers that return errors
// (Handler), the one place that turns an error into a page (Edge), strict form
// parsing (Form), and the middleware that every listener wears (Wear).
package web
