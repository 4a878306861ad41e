// Times as people read them. Instants are integer microseconds since 1970 UTC and stay below 2^53 until the year 2255.

import { language } from "./words";

const pad = (value: number, width = 2): string => String(Math.trunc(value)).padStart(width, "0");

/** Media time as h:mm:ss.mmm; `seconds` may be fractional and is never shown negative. */
export function mediaTime(seconds: number): string {
  const ms = Math.max(0, Math.round(seconds * 1000));
  return `${Math.floor(ms / 3_600_000)}:${pad((ms / 60_000) % 60)}:${pad((ms / 1000) % 60)}.${pad(ms % 1000, 3)}`;
}

/** The same without thousandths, for labels where they would be noise. */
export function shortTime(seconds: number): string {
  return mediaTime(seconds).slice(0, -4);
}

const formats = new Map<string, Intl.DateTimeFormat>();

function parts(us: number, zone: string): Record<string, string> {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-CA", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    });
    formats.set(zone, format);
  }
  return Object.fromEntries(format.formatToParts(new Date(us / 1000)).map((part) => [part.type, part.value]));
}

/** An instant in the agency's zone, `2026-03-12 09:24:05`. */
export function wallClock(us: number, zone: string): string {
  const p = parts(us, zone);
  return `${p["year"]}-${p["month"]}-${p["day"]} ${p["hour"]}:${p["minute"]}:${p["second"]}`;
}

/** Hours and minutes only, or with seconds where a scale is that fine. */
export function wallTime(us: number, zone: string, seconds = false): string {
  const p = parts(us, zone);
  return seconds ? `${p["hour"]}:${p["minute"]}:${p["second"]}` : `${p["hour"]}:${p["minute"]}`;
}

/** The day with its weekday in the reader's language, as a heading over a stretch of time. */
export function dayName(us: number, zone: string): string {
  const chinese = language().startsWith("zh");
  const date = new Date(us / 1000);
  const day = new Intl.DateTimeFormat(chinese ? "zh-CN" : "en-GB", { timeZone: zone, month: chinese ? "numeric" : "short", day: "numeric" });
  const week = new Intl.DateTimeFormat(chinese ? "zh-CN" : "en-GB", { timeZone: zone, weekday: "short" });
  if (!chinese) return `${week.format(date)} ${day.format(date)}`;
  const [month, dayOfMonth] = day.format(date).match(/\d+/g) ?? ["", ""];
  return `${month} 月 ${dayOfMonth} 日 ${week.format(date)}`;
}

/** Microseconds between UTC and the zone at an instant, positive east of Greenwich. */
export function zoneOffset(us: number, zone: string): number {
  const p = parts(us, zone);
  const asUtc = Date.UTC(Number(p["year"]), Number(p["month"]) - 1, Number(p["day"]), Number(p["hour"]), Number(p["minute"]), Number(p["second"]));
  return (asUtc - Math.floor(us / 1_000_000) * 1000) * 1000;
}
