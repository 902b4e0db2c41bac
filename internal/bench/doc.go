// Command bench measures the product as its users run it: the stripped binary,
// started as a process of its own, configured by its own commands, on a store in
// a temporary folder, asked over real HTTP on loopback.
//
//	binary     its size
//	start      from exec to the first 200 of discovery
//	memory     resident: idle, with accounts, at the peak, after the load
//	commits    fdatasync of each request of a sign-in, counted by strace
//	sign-in    CPU of the server compared to one password hash
//	signature  CPU of the token endpoint compared to one signature and an empty handler
//	load       closed-loop clients: requests per second, latency, CPU per request
//
// It prints a table and one JSON line per figure, and writes the lines to a file.
// Figures are reported and judged by whoever reads them; nothing here fails
// because a figure is bad. It fails because an answer is wrong.
//
// Everything is measured several times, and medians are reported: other programs
// disturb for a moment, seldom always. What they took is reported, too.
package main
