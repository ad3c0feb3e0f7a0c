/*
 * The fencing protocol of a pair, for spin(1): what Sources/Pairing/PairMachine.swift decides on two hosts, the gate, the
 * replication stream and its acknowledgements, heartbeats, and an arbiter. docs/fencing.md says what is modelled and what is
 * assumed; what time gives is marked ASSUMED below.
 *
 * One of -DHOLD, -DALLOW, -DARBITER. With -DALLOW also -DPARTITION: the exception that the configuration describes.
 * Broken on purpose: -DGATE_OFF, -DACK_BEFORE_FOLD, -DEPOCH_NOT_COMPARED, -DEXPOSED_WITHOUT_PERMISSION, -DNOT_WARY,
 * -DEQUAL_STEPS, -DLEASE_NOT_WATCHED.
 */

#ifndef PACKETS
#ifdef ARBITER
#define PACKETS 1       /* that are made of one connection */
#else
#define PACKETS 2
#endif
#endif
#ifndef EPOCHS
#ifdef ALLOW
#define EPOCHS 6        /* where a run ends */
#else
#define EPOCHS 4
#endif
#endif
/* Acting in another's place outranks going alone, which nobody may have heard of. Elsewhere the arbiter sees to it, or nobody goes
   alone, and then only the order counts. */
#if defined(ALLOW) && !defined(EQUAL_STEPS)
#define STEP 2
#else
#define STEP 1
#endif
#ifndef CRASHES
#define CRASHES 1       /* of hosts, in all */
#endif
#ifndef SESSIONS
#define SESSIONS 2      /* replication connections that are made, in all */
#endif
#ifndef BEATS
#define BEATS 1         /* heartbeats under way in one direction */
#endif
#ifndef FRAMES
#ifdef ARBITER
#define FRAMES 1        /* records, or acknowledgements, under way in one direction */
#else
#define FRAMES 2
#endif
#endif

#ifdef HOLD
#define mayExpose false
#else
#define mayExpose true
#endif

#ifdef ALLOW
#define MOMENTOUS 1     /* ... and one that says what its host has just become */
#else
#define MOMENTOUS 0
#endif

#if defined(EXPOSED_WITHOUT_PERMISSION) && !defined(ARBITER)
#define mayExposeNow true
#else
#define mayExposeNow mayExpose
#endif

#ifdef EPOCH_NOT_COMPARED
#define epochsDoNotCount true
#else
#define epochsDoNotCount false
#endif

#define NOBODY 2
#define me host[h]
#define it host[1 - h]
#define isUp(x) (x.role != Down)
#define isCurrent(x) (x.connection == connection)

mtype = { Starting, Active, Standby, Fenced, Down };           /* roles */
mtype = { waiting, syncing, synced, exposed };                 /* of an active host's replication */
mtype = { hello, syncEnd, record, handedOver, ack, leaving };  /* frames */
mtype = { nothing, begin, takeOver, goAlone, void };           /* what a host may not do unasked; what it may not do any more */

typedef Host {
  mtype role = Starting;
  mtype phase = waiting;
  byte epoch;             /* the highest that it was in or heard of; on disk */
  byte instance;
#ifndef ARBITER
  byte heardEpoch;        /* of the newest heartbeat; an arbiter knows of every epoch itself */
#endif
  byte heardInstance;     /* that sent it */
  /* active */
  bool gateIsOpen;
  bool isAnnouncing;      /* it says that it goes on alone, and its gate is not open yet */
  bool isServing;         /* its end of the replication connection */
  bool isSyncEnding;
  bool hasWrittenEnd;
  bool isHandingOver;
  byte committed;
  byte left;              /* packets that have left */
  /* standby */
  bool isFollowing;       /* its end of the replication connection */
  bool isComplete;        /* its ledgers are all there, and nothing was said against them */
  bool isVoid;            /* something was said against what comes in this session, too */
  byte sourceEpoch;
  byte sourceInstance;
  byte position;          /* how far its ledger goes */
  byte connection;        /* which one it is of; 0 for none */
#ifdef ACK_BEFORE_FOLD
  byte unfolded;          /* acknowledged, not folded: one more than the position, 0 for none */
#endif
#ifdef ARBITER
  mtype grant = nothing;  /* an epoch that it has won and not used */
  byte grantEpoch;
  bool maySpeak;          /* without a standby, until the arbiter lets others */
#endif
#ifdef ALLOW
  bool isPaused;
  bool isWary;            /* it stood still, and cannot know yet what has happened since */
  bool isTaught;          /* a heartbeat from after that lies before it */
  bool isTold;            /* the standby has it before it that this host goes on alone */
  bool isUnsaid;          /* it goes on alone and has sent no heartbeat since */
#endif
}
Host host[2];

/* Heartbeats (with -DPROMPT they take no time): role, replication, epoch, instance. What is not newer than the newest one is ignored, so of loss, duplication and
   reordering loss remains; what a full buffer does not take is lost, too. */
chan beats[2] = [BEATS + MOMENTOUS] of { mtype, mtype, byte, byte };
/* One replication connection at a time, each direction in order. What is in it is lost when its reader lets go. */
chan stream[2] = [FRAMES] of { mtype, byte, byte };
chan acks[2] = [FRAMES] of { mtype, byte };

/* What has happened, for the properties. */
byte connection;          /* the one that the peer has: another one each time that a host begins anew */
byte seen;                /* packets of it that the peer has seen */
byte successor = NOBODY;  /* who went on with it last in another's place, and with how many packets */
byte inherited;

byte crashes;
byte sessions;

#ifdef ARBITER
byte winner = NOBODY;
byte winnerEpoch;
byte holder = NOBODY;     /* who may be speaking without a standby */
byte formerWinner = NOBODY;  /* before, as long as the epoch may be given back */
byte formerEpoch;
bool isTaken;             /* somebody has won an epoch */
#endif

/* ---- what a packet that leaves must be ---- */

/* Never two that send: what leaves a host after another one went on in its place is what that one had from it; and of a
   connection that is over, another one having begun anew, nothing leaves at all. */
inline depart() {
  assert(isCurrent(me));
  assert(successor == NOBODY || successor == h || me.left + 1 <= inherited);
  me.left++;
  if :: seen < me.left -> seen = me.left :: else fi
}

/* What the other host has acknowledged may leave late, even when that one has given the connection up since: its peer has been
   reset, and throws it away. */
inline departAcknowledged() {
  if
  :: isCurrent(me) -> depart()
  :: else -> me.left++
  fi
}

#ifdef ACK_BEFORE_FOLD
#define hasFolded (me.unfolded == 0)
#else
#define hasFolded true
#endif
#ifdef GATE_OFF
#define mayDepart true
#else
#define mayDepart (me.gateIsOpen && speaks)
#endif

/* ---- changes of what a host is ---- */

inline drain(c) { do :: (len(c) > 0) -> c?_,_ :: (len(c) == 0) -> break od }
inline drainStream(c) { do :: (len(c) > 0) -> c?_,_,_ :: (len(c) == 0) -> break od }
inline drainBeats(c) { do :: (len(c) > 0) -> c?_,_,_,_ :: (len(c) == 0) -> break od }

/* Its ends of replication connections, and what was only of its last role. */
inline shed() {
  me.phase = waiting;
  me.gateIsOpen = false; me.isAnnouncing = false; me.isSyncEnding = false; me.hasWrittenEnd = false; me.isHandingOver = false;
  me.isServing = false; me.committed = 0;
  me.isFollowing = false; me.isComplete = false; me.isVoid = false; me.sourceEpoch = 0; me.sourceInstance = 0;
  drain(acks[h]); drainStream(stream[h]);
#ifdef ACK_BEFORE_FOLD
  me.unfolded = 0;
#endif
#ifdef ARBITER
  voidGrant();
#endif
#ifdef ALLOW
  me.isTold = false; me.isUnsaid = false;
#endif
}

/* Ends its sockets without a packet. */
inline letGo() { me.position = 0; me.left = 0; me.connection = 0 }

#ifdef ARBITER
inline voidGrant() { if :: me.grant != nothing -> me.grant = void :: else fi }
/* What was won is not given back any more. */
inline settle() {
  if
  :: winner == h && me.grantEpoch == winnerEpoch -> formerWinner = NOBODY; formerEpoch = 0
  :: else
  fi;
  me.grant = nothing; me.grantEpoch = 0
}
#define granted(what) (me.grant == what)
#define speaks (me.maySpeak)
inline raise() {
  me.epoch = me.grantEpoch; settle()
}
#else
#define granted(what) true
#define speaks true
inline raise() {
  if :: me.heardEpoch > me.epoch -> me.epoch = me.heardEpoch :: else fi;
  me.epoch = me.epoch + STEP
}
#endif

/* A host says at once what it has become. ASSUMED with -DALLOW: one of the heartbeats of that moment arrives; elsewhere nothing
   is assumed of heartbeats. */
inline sayNow() {
#ifdef ALLOW
  if
  :: len(beats[1 - h]) < BEATS + MOMENTOUS ->
    beats[1 - h]!me.role,me.phase,me.epoch,me.instance;
    if :: me.isAnnouncing -> me.isTold = true :: else fi;
    if :: it.isWary && !it.isPaused -> it.isTaught = true :: else fi
  :: else
  fi
#else
  skip
#endif
}

/* Active, with nothing to continue: whatever the peers have is over, for this host answers them with resets. */
inline beginAnew() {
  raise();
  shed();
  me.role = Active; me.phase = exposed; me.gateIsOpen = true;
  connection++; me.connection = connection; me.position = 0; me.left = 0;
  seen = 0; successor = NOBODY; inherited = 0;
  sayNow()
}
inline becomeStandby(e) {
  shed(); letGo();
  me.role = Standby;
  if :: e > me.epoch -> me.epoch = e :: else fi
}
inline startOver() { shed(); letGo(); me.role = Starting }
inline fence() { shed(); letGo(); me.role = Fenced }

/* Never ledgers that are older than what the peer has seen. */
inline continueWithLedgers() {
  assert(!isCurrent(me) || me.position >= seen);
  raise();
  shed();
  me.role = Active; me.phase = exposed; me.gateIsOpen = true; me.left = 0;
  successor = h; inherited = me.position;
  sayNow()
}

#ifdef ARBITER
#define room (me.epoch < EPOCHS)
#else
#define room (me.epoch + STEP <= EPOCHS && me.heardEpoch + STEP <= EPOCHS)
#endif

/* ---- what is ASSUMED of time ---- */

/* A heartbeat is not under way for longer than a silence lasts: who starts over has read all that was said to his last role. */
#define hasRead (len(beats[h]) == 0)

#ifdef ALLOW
#ifdef PARTITION
#define maySuppose true
#else
/* The silence of an active host that runs is noticed by nobody: of two paths one works, and does not lose three heartbeats in a
   row. Whoever stood still reads what lies before him first. A heartbeat is not under way for longer than a silence lasts. */
#define maySuppose ((len(beats[1 - h]) == 0 || !isUp(it) || it.isPaused) && (len(beats[h]) == 0) && (it.role != Active || it.isPaused) && !me.isWary)
#endif
#else
/* Any timer may fire at any time. */
#define maySuppose true
#endif

#if defined(ALLOW) && !defined(PARTITION)
/* A start hold is longer than a takeover, and than two hosts that hear each other need to agree on who is active. */
#define mayBegin (maySuppose && (!isUp(it) || it.isPaused))
/* Of three announcements one arrives before the gate opens. */
#define hasAnnounced (it.role != Standby || me.isTold)
#else
#define mayBegin maySuppose
#define hasAnnounced true
#endif

#ifdef ALLOW
#define runs (!me.isPaused)
#define isWaryNow (me.isWary)
/* Between two decisions to go on alone there is time for three heartbeats. */
#define mayGoAlone (!me.isUnsaid)
#define isHeard (len(beats[1 - h]) < BEATS + MOMENTOUS)
/* Heartbeats are read before the stream. */
#define mayFold (len(beats[h]) == 0 && !me.isWary)
#else
/* A host that stands still is one that takes no step for a while. */
#define runs true
#define isWaryNow false
#define mayGoAlone true
#define isHeard true
#define mayFold true
#endif

/* ---- what an active host does when it has lost its standby ---- */

inline loseStandby() {
  me.isServing = false; me.hasWrittenEnd = false; me.isHandingOver = false;
  drain(acks[h]);
  if
  :: me.phase == synced || me.isSyncEnding -> me.phase = waiting
  :: else -> me.phase = exposed
  fi;
  me.isSyncEnding = false
}

/* ---- a heartbeat ---- */

#ifdef PROMPT
#define hasBeat (isUp(it))
#define takeBeat() r = it.role; p = it.phase; e = it.epoch; i = it.instance
#else
#define hasBeat (len(beats[h]) > 0)
#define takeBeat() beats[h]?r,p,e,i
#endif

inline hear() {
  if
  :: hasBeat -> takeBeat();
    if
    :: i < me.heardInstance -> skip     /* that instance is over */
    :: else ->
      me.heardInstance = i;
#ifdef ARBITER
      if :: r == Active && me.grant != goAlone -> voidGrant() :: else fi;
#else
      me.heardEpoch = e;
#endif
#ifdef ALLOW
      if :: me.isTaught && (len(beats[h]) == 0) -> me.isWary = false; me.isTaught = false :: else fi;
#endif
      if
      :: (me.role == Starting || me.role == Fenced) && r == Active ->
        if :: e >= me.epoch || epochsDoNotCount -> becomeStandby(e) :: else fi
      :: me.role == Active && r == Active ->
#ifdef ARBITER
        assert(e != me.epoch);   /* Of two one wins; so the hosts' numbers say nothing, and it does not matter who is which. */
#endif
        if :: (e > me.epoch || (e == me.epoch && h == 1)) && !epochsDoNotCount -> fence() :: else fi
      :: me.role == Active && r != Active && e > me.epoch ->
#if defined(ALLOW)
        if :: e < EPOCHS -> me.epoch = e + 1 :: else -> me.epoch = e fi
#else
        if :: !epochsDoNotCount -> fence() :: else fi
#endif
      :: me.role == Standby && r == Active ->
        if :: e > me.sourceEpoch || (p == exposed && i != me.sourceInstance) -> me.isComplete = false; me.isVoid = true :: else fi;
        if :: e > me.epoch -> me.epoch = e :: else fi
      :: me.role == Starting && r == Starting && h == 0 && room && isHeard && !isWaryNow ->
#ifdef ARBITER
        skip        /* the arbiter is asked */
#else
        beginAnew()
#endif
      :: else -> skip
      fi
    fi;
    r = 0; p = 0; e = 0; i = 0
  fi
}

inline raiseOwn() {
#ifdef ARBITER
  raise()
#else
  me.epoch++
#endif
}

/* What may be said alone was said until now. */
inline endPermission() {
#ifdef ARBITER
  voidGrant();
  if
  :: me.role == Active && me.phase == exposed -> me.phase = waiting; me.gateIsOpen = false; me.isAnnouncing = false
  :: me.role == Active && me.phase == syncing -> me.gateIsOpen = false; me.isSyncEnding = true
  :: else
  fi
#endif
}

inline die() {
  shed(); letGo();
  me.role = Down; me.heardInstance = 0;
#ifdef ARBITER
  me.maySpeak = false; settle();
#else
  me.heardEpoch = 0;
#endif
#ifdef ALLOW
  me.isPaused = false; me.isWary = false; me.isTaught = false
#endif
}

proctype Run(bit h) {
  mtype r = 0; mtype p = 0; byte e = 0; byte i = 0;
  do
  /* -- heartbeats -- */
#if defined(PROMPT)
  /* They are read at once, or lost. */
#elif defined(ARBITER)
  /* One that was not read is lost when the next one is sent; never read, it was lost, too. */
  :: d_step { isUp(me) -> drainBeats(beats[1 - h]); beats[1 - h]!me.role,me.phase,me.epoch,me.instance }
#else
  :: atomic { isUp(me) && runs && (len(beats[1 - h]) < BEATS) -> beats[1 - h]!me.role,me.phase,me.epoch,me.instance;
#ifdef ALLOW
      me.isUnsaid = false;
      if :: me.isAnnouncing -> me.isTold = true :: else fi;
      if :: it.isWary && !it.isPaused -> it.isTaught = true :: else fi
#endif
    }
#endif
  :: d_step { isUp(me) && runs && hasBeat -> hear() }
#if defined(HOLD) || defined(PARTITION)
  :: d_step { (len(beats[h]) > 0) -> beats[h]?_,_,_,_ }            /* lost */
#endif

  /* -- the active host's traffic -- */
  :: d_step { me.role == Active && runs && !me.isHandingOver && me.position < PACKETS &&
      (!me.hasWrittenEnd || (len(stream[1 - h]) < FRAMES)) ->
      me.position++;
      if :: me.hasWrittenEnd -> stream[1 - h]!record,me.position,0 :: else fi }
  :: d_step { me.role == Active && runs && !isWaryNow && me.left < me.position && mayDepart -> depart() }

  /* -- the replication connection -- */
  :: d_step { me.role == Standby && runs && !me.isFollowing && it.role == Active && !it.isHandingOver && sessions < SESSIONS ->
      sessions++;
      drainStream(stream[h]); drain(acks[1 - h]);
      me.isFollowing = true;
      it.isServing = true; it.hasWrittenEnd = false;
#ifdef ARBITER
      if :: it.grant != nothing -> it.grant = void :: else fi;
#endif
      it.isSyncEnding = (it.phase != exposed || it.isAnnouncing);
      it.isAnnouncing = false; it.phase = syncing;
#ifdef ALLOW
      it.isTold = false;
#endif
      stream[h]!hello,it.epoch,it.instance }
  :: d_step { me.role == Active && runs && me.isServing && me.phase == syncing && !me.hasWrittenEnd && (len(stream[1 - h]) < FRAMES) ->
      me.gateIsOpen = false; me.isSyncEnding = true; me.hasWrittenEnd = true;
      stream[1 - h]!syncEnd,me.position,me.connection }
  :: d_step { me.role == Active && runs && me.isServing && (len(acks[h]) > 0) ->
      acks[h]?r,e;
      if
      :: r == leaving ->
        /* It will not take over. With an arbiter that is asked for, as any other going alone. */
        loseStandby();
#ifdef ALLOW
        if
        :: me.epoch < EPOCHS -> me.epoch++; me.phase = exposed; me.gateIsOpen = true; me.isAnnouncing = false
        :: else
        fi
#endif
      :: else ->
        if :: e > me.committed -> me.committed = e :: else fi;
        /* What it lets go leaves at once. */
        do
        :: me.left < me.committed && me.left < me.position -> departAcknowledged()
        :: else -> break
        od;
        if :: me.phase == syncing -> me.phase = synced; me.gateIsOpen = false :: else fi
      fi;
      r = 0; e = 0 }
  :: d_step { me.role == Active && runs && me.isServing -> loseStandby() }
  :: d_step { me.role == Standby && runs && me.isFollowing -> drainStream(stream[h]); me.isFollowing = false }

  /* -- the standby folds and acknowledges -- */
  :: d_step { me.role == Standby && runs && me.isFollowing && (len(stream[h]) > 0) && (len(acks[1 - h]) < FRAMES) && hasFolded && mayFold ->
      stream[h]?r,e,i;
      if
      :: r == hello -> me.isComplete = false; me.isVoid = (e < me.epoch); me.sourceEpoch = e; me.sourceInstance = i; letGo();
        if :: e > me.epoch -> me.epoch = e :: else fi
      :: r == syncEnd -> me.position = e; me.connection = i; me.isComplete = !me.isVoid; acks[1 - h]!ack,e
#ifdef ACK_BEFORE_FOLD
      :: r == record -> me.unfolded = e + 1; acks[1 - h]!ack,e
#else
      :: r == record -> me.position = e; acks[1 - h]!ack,e
#endif
      :: r == handedOver -> me.isFollowing = false;
#ifdef ARBITER
        /* The arbiter is to know of each epoch: the takeover is asked for, as any other. */
        skip
#else
        if
        :: me.isComplete && room -> continueWithLedgers()
        :: else -> skip   /* that one has gone on since, or this run ends */
        fi
#endif
      fi;
      r = 0; e = 0; i = 0 }
#ifdef ACK_BEFORE_FOLD
  :: d_step { me.role == Standby && me.unfolded > 0 -> me.position = me.unfolded - 1; me.unfolded = 0 }
#endif

  /* -- the active host goes on alone -- */
  :: atomic { me.role == Active && runs && me.phase == waiting && me.epoch < EPOCHS && granted(goAlone) && mayExposeNow && !isWaryNow && isHeard && mayGoAlone ->
      raiseOwn(); me.phase = exposed; me.isAnnouncing = true;
      /* It may stand still before anybody has heard it. */
#ifdef ALLOW
      if :: sayNow() :: me.isUnsaid = true fi
#endif
      }
  :: d_step { me.role == Active && runs && me.isAnnouncing && hasAnnounced && !isWaryNow -> me.isAnnouncing = false; me.gateIsOpen = true }

  /* -- silence -- */
  :: d_step { me.role == Standby && runs && maySuppose && me.isComplete && room && isHeard && granted(takeOver) -> continueWithLedgers() }
  :: d_step { me.role == Standby && runs && maySuppose && !me.isComplete && mayExpose && room && isHeard && granted(takeOver) -> beginAnew() }
  :: d_step { me.role == Standby && runs && maySuppose && hasRead && !me.isComplete && !mayExpose -> startOver() }
  :: d_step { me.role == Fenced && runs && mayBegin && hasRead && !mayExpose -> startOver() }
  :: d_step { (me.role == Fenced || me.role == Starting) && runs && mayBegin && mayExpose && room && isHeard && granted(begin) ->
      beginAnew() }

  /* -- switchover -- */
  :: d_step { me.role == Active && runs && me.phase == synced && !me.isHandingOver -> me.isHandingOver = true }
  :: d_step { me.role == Active && runs && me.isHandingOver -> me.isHandingOver = false }
  :: d_step { me.role == Active && runs && me.isHandingOver && me.committed == me.position && (len(stream[1 - h]) < FRAMES) ->
      stream[1 - h]!handedOver,0,0; fence() }

  /* -- an orderly end of the standby -- */
  :: d_step { me.role == Standby && runs && me.isFollowing && (len(acks[1 - h]) < FRAMES) && crashes < CRASHES ->
      acks[1 - h]!leaving,0; crashes++; die() }

  /* -- death and return -- */
  :: d_step { isUp(me) && crashes < CRASHES -> crashes++; die() }
  :: d_step { me.role == Down -> me.role = Starting; drainBeats(beats[h]); me.instance++ }

#ifdef ALLOW
  :: d_step { isUp(me) && !me.isPaused && crashes < CRASHES -> crashes++; me.isPaused = true }
  /* Whoever has stood still lets nothing leave before he has heard what is new, or as much time has passed as the other one needs
     to say it. ASSUMED: that one is heard then, if it runs. */
  :: d_step { me.isPaused -> me.isPaused = false;
#ifndef NOT_WARY
      me.isWary = true;
#endif
      me.isTaught = false
    }
  :: d_step { me.isWary && !me.isPaused && (!isUp(it) || it.isPaused) -> me.isWary = false; me.isTaught = false }
#endif

#ifdef ARBITER
  /* -- the arbiter: each of these is one compare-and-swap; its answer may come late, or not at all -- */
  /* The hosts are alike: the first one that wins is called 0. */
  :: d_step { isUp(me) && me.grant == nothing && room && (isTaken || h == 0) &&
      (me.role == Starting || me.role == Fenced || me.role == Standby || (me.role == Active && me.phase == waiting)) ->
      if
      :: me.role == Active -> r = goAlone
      :: me.role == Standby -> r = takeOver
      :: else -> r = begin
      fi;
      e = winnerEpoch;
#ifdef EXPOSED_WITHOUT_PERMISSION
      if
      :: true ->
#else
      if
      :: (holder != NOBODY && holder != h) || (r != begin && winner != NOBODY && winner != h && winnerEpoch > me.epoch) ->
        /* Refused: this host learns of the epoch that another one has won, unless that one may yet give it back. */
        if
        :: e > me.epoch && me.role == Active -> fence()
        :: e > me.epoch && me.role != Active && holder == NOBODY ->
          me.epoch = e;
          if :: e > me.sourceEpoch -> me.isComplete = false; me.isVoid = true :: else fi
        :: else
        fi
      :: else ->
#endif
        if :: me.epoch > e -> e = me.epoch :: else fi;
        if
        :: e < EPOCHS ->
          formerWinner = winner; formerEpoch = winnerEpoch;
          me.grant = r; me.grantEpoch = e + 1; me.maySpeak = true;
          winner = h; winnerEpoch = e + 1; holder = h; isTaken = true
        :: else
        fi
      fi;
      r = 0; e = 0 }
  :: d_step { me.grant != nothing && me.grant != void -> voidGrant() }   /* the answer comes too late, or its cause is gone */
  /* What was not used is as if it had not been won; or that cannot be said any more. */
  :: d_step { me.grant == void ->
      if
      :: winner == h && winnerEpoch == me.grantEpoch ->
        winner = formerWinner; winnerEpoch = formerEpoch;
        if :: holder == h -> holder = NOBODY; me.maySpeak = false :: else fi
      :: else
      fi;
      settle() }
  :: d_step { me.grant == void -> settle() }
  /* ASSUMED: a host stops speaking alone before the arbiter lets others. */
#ifdef LEASE_NOT_WATCHED
  :: d_step { holder == h -> holder = NOBODY }
#else
  :: d_step { holder == h -> holder = NOBODY; me.maySpeak = false; endPermission() }
#endif
  :: d_step { holder == h && me.role == Active && me.phase == synced -> holder = NOBODY; me.maySpeak = false }
#endif
  od
}

init { atomic { run Run(0); run Run(1) } }
