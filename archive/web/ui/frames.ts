// Exact frames in a browser that only knows seconds. A frame's own time is what requestVideoFrameCallback reports
// (mediaTime, the PTS); `currentTime` is where the seek was asked for, which is not the same (w3c/media-and-entertainment 4).
// Works for variable frame rates, because no step assumes a rate: backwards is «just before this frame began», forwards
// creeps until another frame is on screen. Not guaranteed: frames shorter than two milliseconds.

const EPSILON = 0.001;
const CREEP_LIMIT = 120;
const FRAME_WAIT_MS = 700;

/** The PTS in seconds of the frame on screen after the next presentation, or `undefined` where none came. */
function presented(video: HTMLVideoElement): Promise<number | undefined> {
  return new Promise((resolve) => {
    const handle = video.requestVideoFrameCallback((_now, frame) => {
      window.clearTimeout(timer);
      resolve(frame.mediaTime);
    });
    const timer = window.setTimeout(() => {
      video.cancelVideoFrameCallback(handle);
      resolve(undefined);
    }, FRAME_WAIT_MS);
  });
}

async function seekTo(video: HTMLVideoElement, seconds: number): Promise<number | undefined> {
  const shown = presented(video);
  video.currentTime = seconds;
  return shown;
}

/** Shows the neighbouring frame, one back or one forward, and gives its PTS in seconds. */
export async function stepFrame(video: HTMLVideoElement, direction: -1 | 1, current: number, frameSeconds: number): Promise<number> {
  if (direction < 0) {
    const wanted = Math.max(0, current - EPSILON);
    return (await seekTo(video, wanted)) ?? wanted;
  }
  for (let step = 1; step <= CREEP_LIMIT; step += 1) {
    // Half a frame past the next frame's beginning: the middle of it, where rounding cannot land on a neighbour.
    const wanted = current + frameSeconds * (0.5 + step);
    if (wanted >= video.duration) return current;
    const shown = await seekTo(video, wanted);
    if (shown !== undefined && shown > current + EPSILON / 2) return shown;
  }
  return current;
}
