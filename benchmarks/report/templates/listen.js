// Recordings and versions to choose from, the transport, and the two spectrograms.
const ORIGINAL = 0; // its place among the versions
const listening = { recording: media[0], voice: 1 };
const player = new Player(() => refresh());

function openRecording() {
  const name = listening.recording.versions[listening.voice]?.name;
  listening.recording = media[byId("recording").value];
  const { versions, seconds, whole, transcript } = listening.recording;
  player.open(seconds);
  const place = versions.findIndex((version) => version.name === name);
  const cut = whole > seconds ? ` \u2014 the first ${seconds.toFixed(1)} s of ${whole.toFixed(1)} s` : "";
  byId("transcript").textContent = (transcript ? `\u201c${transcript}\u201d` : "Without transcript") + cut;
  byId("position").max = seconds;
  byId("voices").replaceChildren(
    byId("voices").firstElementChild,
    ...versions.map((version, i) =>
      element("label", {}, element("input", { type: "radio", name: "voice", value: i }), element("span", { textContent: version.name })),
    ),
  );
  listening.shown = null;
  chooseVoice(Math.max(0, place));
}

/** Hear a version; beside the original it is shown too. */
function chooseVoice(place) {
  const { versions } = listening.recording;
  listening.voice = place;
  byId("voices").querySelectorAll("input")[place].checked = true;
  const beside = place === ORIGINAL ? (listening.shown ?? Math.min(1, versions.length - 1)) : place;
  if (beside !== listening.shown) {
    listening.shown = beside;
    byId("spectrograms").replaceChildren(...[...new Set([ORIGINAL, beside])].map(spectrogram));
  }
  for (const figure of byId("spectrograms").children) figure.classList.toggle("heard", Number(figure.dataset.place) === place);
  return player.choose(versions[place].audio);
}

function spectrogram(place) {
  const { versions, khz, seconds } = listening.recording;
  const { name, picture } = versions[place];
  const image = element("img", { src: picture, alt: `Spectrogram of ${name}: 0 to ${khz} kHz, ${seconds.toFixed(1)} s` });
  const frame = element("div", { className: "picture" }, image, element("i", { className: "playhead" }));
  frame.addEventListener("pointerdown", (event) => {
    const { left, width } = image.getBoundingClientRect();
    player.seek(((event.clientX - left) / width) * seconds);
  });
  const axis = element("div", { className: "khz" }, element("span", { textContent: `${khz} kHz` }), element("span", { textContent: "0" }));
  axis.setAttribute("aria-hidden", "true");
  const figure = element("figure", {}, element("figcaption", { textContent: name }), element("div", { className: "framed" }, axis, frame));
  figure.dataset.place = place;
  return figure;
}

function refresh() {
  byId("play").textContent = player.playing ? "Pause" : "Play";
  track();
}

/** The slider, the clock and the lines over the pictures follow the sound. */
function track() {
  const { position, duration } = player;
  const slider = byId("position");
  slider.value = position;
  slider.setAttribute("aria-valuetext", `${position.toFixed(1)} of ${duration.toFixed(1)} seconds`);
  byId("clock").textContent = `${position.toFixed(1)} / ${duration.toFixed(1)} s`;
  for (const line of document.querySelectorAll(".playhead")) line.style.left = `${(100 * position) / duration}%`;
}

function follow() {
  if (player.playing) track();
  requestAnimationFrame(follow);
}

const toggle = () => (player.playing ? player.pause() : player.play());

if (media.length) {
  byId("recording").addEventListener("change", openRecording);
  byId("voices").addEventListener("change", ({ target }) => chooseVoice(Number(target.value)));
  byId("voices").addEventListener("keydown", (event) => {
    if (event.key !== " ") return; // the radio button is chosen already by the arrow that led to it
    event.preventDefault();
    toggle();
  });
  byId("play").addEventListener("click", toggle);
  byId("position").addEventListener("input", ({ target }) => player.seek(Number(target.value)));
  byId("repeat").addEventListener("change", ({ target }) => (player.repeat = target.checked));
  byId("recording").value = 0;
  byId("repeat").checked = false;
  openRecording();
  follow();
}
