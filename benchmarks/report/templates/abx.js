// The blind test: is X A or B? Ten trials, and how likely guessing alone does as well.
const TRIALS = 10; // fixed beforehand, or the probability would mean nothing
const test = { x: "a", right: 0, done: 0, heard: false };

/** The probability that guessing gets `right` or more of `trials`. */
function byChance(right, trials) {
  let [ways, sum] = [1, 0];
  for (let k = 0; k <= trials; k++) {
    if (k >= right) sum += ways;
    ways = (ways * (trials - k)) / (k + 1);
  }
  return sum / 2 ** trials;
}

const version = (letter) => listening.recording.versions[byId(`blind-${letter === "x" ? test.x : letter}`).value].audio;

function draw() {
  test.x = crypto.getRandomValues(new Uint8Array(1))[0] & 1 ? "a" : "b";
  test.heard = false;
}

/** Begin anew, when A, B or the recording change, too. */
function restart() {
  player.pause();
  Object.assign(test, { right: 0, done: 0 });
  draw();
  report();
}

function report() {
  const same = byId("blind-a").value === byId("blind-b").value;
  const over = test.done === TRIALS;
  for (const button of document.querySelectorAll("[data-guess]")) button.disabled = over || same || !test.heard;
  for (const button of document.querySelectorAll("[data-hear]")) button.disabled = same;
  if (same) byId("verdict").textContent = "A and B are the same; choose two versions.";
  else if (!over) byId("verdict").textContent = `Trial ${test.done + 1} of ${TRIALS}.${test.heard ? "" : " Hear X to guess."}`;
  else {
    const chance = byChance(test.right, TRIALS);
    const told = chance < 0.05 ? "You can tell them apart." : "That is no evidence that you can tell them apart.";
    byId("verdict").textContent = `${test.right} of ${TRIALS} right; guessing does as well with p = ${chance.toFixed(3)}. ${told}`;
  }
}

async function hear(letter) {
  for (const button of document.querySelectorAll("[data-hear]")) button.setAttribute("aria-pressed", button.dataset.hear === letter);
  // both, or the time that one takes to decode would tell which X is
  await Promise.all([player.decode(version("a")), player.decode(version("b"))]);
  test.heard ||= letter === "x";
  report();
  player.uri = version(letter);
  await player.play();
}

function guess(letter) {
  test.right += Number(letter === test.x);
  test.done++;
  player.pause();
  for (const button of document.querySelectorAll("[data-hear]")) button.setAttribute("aria-pressed", "false");
  if (test.done < TRIALS) draw();
  report();
  // what was pressed is disabled now: the keyboard goes on from the next step
  (test.done < TRIALS ? document.querySelector("[data-hear=x]") : byId("again")).focus();
}

function fillVersions() {
  const names = listening.recording.versions.map(({ name }) => name);
  fill(byId("blind-a"), names, ORIGINAL);
  fill(byId("blind-b"), names, listening.shown);
  restart();
}

function changeMode() {
  const blind = byId("mode").querySelector("input:checked").value === "blind";
  byId("blind").hidden = !blind;
  byId("compare").hidden = blind;
  player.pause();
  if (blind) {
    fillVersions();
    player.uri = version("a");
  } else chooseVoice(listening.voice);
}

if (media.length) {
  byId("trials").textContent = TRIALS;
  byId("mode").addEventListener("change", changeMode);
  byId("recording").addEventListener("change", changeMode);
  for (const letter of ["a", "b"]) byId(`blind-${letter}`).addEventListener("change", restart);
  for (const button of document.querySelectorAll("[data-hear]")) button.addEventListener("click", () => hear(button.dataset.hear));
  for (const button of document.querySelectorAll("[data-guess]")) button.addEventListener("click", () => guess(button.dataset.guess));
  byId("again").addEventListener("click", restart);
  changeMode();
}
