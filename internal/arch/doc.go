// Package arch holds the import rules of the house and checks them: which room
// may know which (Rooms), and which library lives in which room (Libraries). Its
// test runs Check on this module, so that a wall cannot be moved by accident. A
// room that is not in the table has to be entered before it compiles into anything.
package arch
