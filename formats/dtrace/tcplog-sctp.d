#!/usr/sbin/dtrace -s
/*
 * Every probe of the SCTP provider with all of its arguments, one line each,
 * for tcplog:
 *
 *     dtrace -s tcplog-sctp.d -o sctp.txt
 *     tcplog info sctp.txt
 *
 * A line is
 *
 *     wall=NS mono=NS cpu=N pid=N PROVIDER:MODULE:FUNCTION:NAME KEY=VALUE ...
 *
 * wall   nanoseconds since the Unix epoch. DTrace reads this clock as it stood
 *        at the last tick, so several lines share a value.
 * mono   nanoseconds of the clock that DTrace orders its output by. Its
 *        distances are exact; tcplog takes times of day from wall and
 *        distances from mono.
 * arg0.. raw arguments in hexadecimal, 64 bits, of probes that pass numbers.
 *        What is packed into them stands in formats/dtrace/sctp.toml.
 * others members of the translated arguments, by their own names; old_state is
 *        the state before. An association that the kernel does not know has
 *        cs_cid=0x0.
 *
 * Lines that begin with # are about the log: `# begin` and `# end` say when
 * tracing ran, and `# fired PROBE N` how often a probe fired. What is counted
 * has clauses of its own: DTrace gives a clause all the room it needs in the
 * buffer of its CPU or skips it as a whole, its aggregations included. The
 * clauses that count need a few bytes and come first, so that they still find
 * room where a line does not; then tcplog finds fewer lines than the count and
 * says so. (In a buffer that is full to its last bytes even they are skipped:
 * dtrace reports all drops on standard error; appended to the log, those lines
 * are understood too.) Should that happen, raise bufsize or switchrate.
 *
 * The probes sctp:rwnd:assoc:val and sctp:flightsize::val exist but no kernel
 * fires them; they are traced in case one will.
 *
 * FreeBSD 11.0 has only cwnd, rwnd and flightsize: delete the clauses whose
 * probes begin with sctp:::, and their lines in END, there.
 */

#pragma D option quiet
#pragma D option bufsize=16m
#pragma D option bufresize=auto
#pragma D option switchrate=20hz
#pragma D option temporal
/* Names and addresses are shorter; strings take this much of a buffer. */
#pragma D option strsize=64

dtrace:::BEGIN
{
	printf("# tcplog-sctp 1\n");
	printf("# begin wall=%d mono=%d\n", walltimestamp, timestamp);
}

sctp:cwnd:net:init { @cwnd_net_init = count(); }
sctp:cwnd:net:ack { @cwnd_net_ack = count(); }
sctp:cwnd:net:fr { @cwnd_net_fr = count(); }
sctp:cwnd:net:to { @cwnd_net_to = count(); }
sctp:cwnd:net:ecn { @cwnd_net_ecn = count(); }
sctp:cwnd:net:pd { @cwnd_net_pd = count(); }
sctp:cwnd:net:bl { @cwnd_net_bl = count(); }
sctp:cwnd:net:rttvar { @cwnd_net_rttvar = count(); }
sctp:cwnd:net:rttstep { @cwnd_net_rttstep = count(); }
sctp:rwnd:assoc:val { @rwnd_assoc_val = count(); }
sctp:flightsize:net:val { @flightsize_net_val = count(); }
sctp:flightsize:assoc:val { @flightsize_assoc_val = count(); }
sctp:::send { @send = count(); }
sctp:::receive { @receive = count(); }
sctp:::state-change { @state_change = count(); }

sctp:cwnd:net:,
sctp:flightsize:net:val
{
	printf("wall=%d mono=%d cpu=%d pid=%d %s:%s:%s:%s arg0=0x%x arg1=0x%x arg2=0x%x arg3=0x%x arg4=0x%x\n",
	    walltimestamp, timestamp, cpu, pid,
	    probeprov, probemod, probefunc, probename,
	    (uint64_t)arg0, (uint64_t)arg1, (uint64_t)arg2, (uint64_t)arg3,
	    (uint64_t)arg4);
}

sctp:rwnd:assoc:val,
sctp:flightsize:assoc:val
{
	printf("wall=%d mono=%d cpu=%d pid=%d %s:%s:%s:%s arg0=0x%x arg1=0x%x arg2=0x%x arg3=0x%x\n",
	    walltimestamp, timestamp, cpu, pid,
	    probeprov, probemod, probefunc, probename,
	    (uint64_t)arg0, (uint64_t)arg1, (uint64_t)arg2, (uint64_t)arg3);
}

sctp:::send,
sctp:::receive
{
	printf("wall=%d mono=%d cpu=%d pid=%d %s:%s:%s:%s pkt_addr=0x%x cs_addr=0x%x cs_cid=0x%x cs_pid=%d cs_zoneid=%d ip_ver=%d ip_plength=%d ip_saddr=%s ip_daddr=%s ",
	    walltimestamp, timestamp, cpu, pid,
	    probeprov, probemod, probefunc, probename,
	    (uint64_t)args[0]->pkt_addr,
	    (uint64_t)args[1]->cs_addr, args[1]->cs_cid, args[1]->cs_pid,
	    args[1]->cs_zoneid,
	    args[2]->ip_ver, args[2]->ip_plength, args[2]->ip_saddr,
	    args[2]->ip_daddr);
	printf("sctps_addr=0x%x sctps_num_raddrs=%d sctps_raddrs=0x%x sctps_num_laddrs=%d sctps_laddrs=0x%x sctps_lport=%d sctps_rport=%d sctps_laddr=%s sctps_raddr=%s sctps_state=0x%x ",
	    (uint64_t)args[3]->sctps_addr, args[3]->sctps_num_raddrs,
	    (uint64_t)args[3]->sctps_raddrs, args[3]->sctps_num_laddrs,
	    (uint64_t)args[3]->sctps_laddrs, args[3]->sctps_lport,
	    args[3]->sctps_rport, args[3]->sctps_laddr, args[3]->sctps_raddr,
	    args[3]->sctps_state);
	printf("sctp_sport=%d sctp_dport=%d sctp_verify=0x%x sctp_checksum=0x%x sctp_hdr=0x%x\n",
	    args[4]->sctp_sport, args[4]->sctp_dport, args[4]->sctp_verify,
	    args[4]->sctp_checksum, (uint64_t)args[4]->sctp_hdr);
}

sctp:::state-change
{
	printf("wall=%d mono=%d cpu=%d pid=%d %s:%s:%s:%s cs_addr=0x%x cs_cid=0x%x cs_pid=%d cs_zoneid=%d sctps_addr=0x%x sctps_num_raddrs=%d sctps_raddrs=0x%x sctps_num_laddrs=%d sctps_laddrs=0x%x sctps_lport=%d sctps_rport=%d sctps_laddr=%s sctps_raddr=%s sctps_state=0x%x old_state=0x%x\n",
	    walltimestamp, timestamp, cpu, pid,
	    probeprov, probemod, probefunc, probename,
	    (uint64_t)args[1]->cs_addr, args[1]->cs_cid, args[1]->cs_pid,
	    args[1]->cs_zoneid,
	    (uint64_t)args[3]->sctps_addr, args[3]->sctps_num_raddrs,
	    (uint64_t)args[3]->sctps_raddrs, args[3]->sctps_num_laddrs,
	    (uint64_t)args[3]->sctps_laddrs, args[3]->sctps_lport,
	    args[3]->sctps_rport, args[3]->sctps_laddr, args[3]->sctps_raddr,
	    args[3]->sctps_state, args[5]->sctps_state);
}

dtrace:::END
{
	printf("# end wall=%d mono=%d\n", walltimestamp, timestamp);
	printa("# fired sctp:cwnd:net:init %@d\n", @cwnd_net_init);
	printa("# fired sctp:cwnd:net:ack %@d\n", @cwnd_net_ack);
	printa("# fired sctp:cwnd:net:fr %@d\n", @cwnd_net_fr);
	printa("# fired sctp:cwnd:net:to %@d\n", @cwnd_net_to);
	printa("# fired sctp:cwnd:net:ecn %@d\n", @cwnd_net_ecn);
	printa("# fired sctp:cwnd:net:pd %@d\n", @cwnd_net_pd);
	printa("# fired sctp:cwnd:net:bl %@d\n", @cwnd_net_bl);
	printa("# fired sctp:cwnd:net:rttvar %@d\n", @cwnd_net_rttvar);
	printa("# fired sctp:cwnd:net:rttstep %@d\n", @cwnd_net_rttstep);
	printa("# fired sctp:rwnd:assoc:val %@d\n", @rwnd_assoc_val);
	printa("# fired sctp:flightsize:net:val %@d\n", @flightsize_net_val);
	printa("# fired sctp:flightsize:assoc:val %@d\n", @flightsize_assoc_val);
	printa("# fired sctp:::send %@d\n", @send);
	printa("# fired sctp:::receive %@d\n", @receive);
	printa("# fired sctp:::state-change %@d\n", @state_change);
}
