package admin

// Unmarshal is the strict reader of request bodies.
var Unmarshal = unmarshal
